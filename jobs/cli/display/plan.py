"""A plan in words."""

from jobs.operations.plan import Plan


def plan_lines(plan: Plan) -> list[str]:
    """A plan in words."""
    hours = "unknown" if plan.cpu_hours is None else _duration(plan.cpu_hours * 3600)
    lines = [
        f"trials      {plan.trials}",
        f"signatures  {plan.signatures}",
        f"packs       {_packs(plan)}",
        f"time        about {hours} on one core, without pruning",
        f"disk        about {plan.disk_bytes / 2**20:.1f} MiB",
    ]
    if plan.impossible:
        lines.append(f"impossible  {plan.impossible} of the trials; the first {plan.why_impossible}")
    if plan.learns_from_results is not None:
        lines.append(f"drawn       at random: what {plan.learns_from_results} proposes depends on results")
    return [*lines, *(f"note        {note}" for note in plan.notes)]


def _packs(plan: Plan) -> str:
    if plan.pack_sizes is None:
        return str(plan.packs)
    sizes = ", ".join(map(str, plan.pack_sizes))
    if plan.packs is not None:
        return f"{plan.packs}, of up to {sizes} runs, as measured on this machine"
    known = f" but for those of up to {sizes} runs" if sizes else ""
    return f"of as many runs as pay, measured at the start{known}"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
