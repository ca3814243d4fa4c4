"""A plan in words."""

from collections.abc import Sequence

from jobs.cli.display.progress import duration
from jobs.operations.plan import Plan
from jobs.operations.planning.hours import PlannedPack

PACKS_SHOWN = 6


def plan_lines(plan: Plan) -> list[str]:
    """A plan in words."""
    lines = [
        f"trials      {plan.trials}",
        f"signatures  {plan.signatures}",
        f"packs       {_packs(plan)}",
        f"time        {_time(plan)}",
        f"disk        about {plan.disk_bytes / 2**20:.1f} MiB",
    ]
    if plan.planned_packs:
        lines.insert(3, f"            {'' if plan.packs else 'if all pay: '}{_each(plan.planned_packs)}")
    if plan.impossible:
        lines.append(f"impossible  {plan.impossible} of the trials; the first {plan.why_impossible}")
    if plan.learns_from_results is not None:
        lines.append(f"drawn       at random: what {plan.learns_from_results} proposes depends on results")
    return [*lines, *(f"note        {note}" for note in plan.notes)]


def _time(plan: Plan) -> str:
    """One by one, and in packs where there are any; both are estimates."""
    if plan.cpu_hours is None:
        return "unknown"
    alone = f"about {duration(plan.cpu_hours * 3600)} on one core"
    without = "without validation and pruning"
    if not plan.planned_packs:
        return f"{alone}, {without}"
    if plan.packed_hours is None:
        return f"{alone} one by one, {without}; packs take too long an update to be timed here"
    packed = duration(plan.packed_hours * 3600)
    return f"{alone} one by one, {packed} in packs, {without}: estimates from a few updates"


def _each(packs: Sequence[PlannedPack]) -> str:
    """Runs and time of each pack."""
    told = [f"{pack.runs} {'run' if pack.runs == 1 else 'runs'}" + _in(pack.hours) for pack in packs[:PACKS_SHOWN]]
    more = f", and {len(packs) - PACKS_SHOWN} more" if len(packs) > PACKS_SHOWN else ""
    return ", ".join(told) + more


def _in(hours: float | None) -> str:
    return "" if hours is None else f" in {duration(hours * 3600)}"


def _packs(plan: Plan) -> str:
    if plan.pack_sizes is None:
        return str(plan.packs)
    sizes = ", ".join(map(str, plan.pack_sizes))
    if plan.packs is not None:
        return f"{plan.packs}, of up to {sizes} runs, as measured on this machine"
    known = f" but for those of up to {sizes} runs" if sizes else ""
    return f"of as many runs as pay, measured at the start{known}"
