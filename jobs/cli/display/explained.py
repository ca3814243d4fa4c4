"""A trial in words."""

from typing import Any

from jobs.operations.explain import Explanation, InPack


def explanation_lines(found: Explanation) -> list[str]:
    """Why a trial ended as it did, what it was, and what trains it alone."""
    lines = [f"{found.sweep}/{found.trial}  {found.state}", f"why         {found.why}"]
    if found.best is not None:
        at = "" if found.best_update is None else f" at update {found.best_update}"
        lines.append(f"best        meta-validation {found.measure} {found.best:.6g}{at}")
    if found.error_file is not None:
        lines += ["error       the last lines of its traceback:", *(f"            {line}" for line in found.error)]
        lines.append(f"            the whole: {found.error_file}")
    if found.rerun:
        lines.append(f"again       trained again {_times(found.rerun)} after it had failed or diverged")
    lines += [f"{'pack' if not number else '':12}{_pack(pack)}" for number, pack in enumerate(found.packs)]
    lines += [f"{'log' if not number else '':12}{line}" for number, line in enumerate(found.log)]
    if found.params:
        lines.append(f"searched    {_values(found.params)}")
    if found.run:
        run = found.run
        lines.append(f"learner     {run['learner']}: {_values(run['hyperparameters'])}")
        for section in ("benchmark", "budget"):
            known = {key: value for key, value in run[section].items() if value not in (None, [], ())}
            lines.append(f"{section:12}{_values(known)}")
        plain = {key: value for key, value in run.items() if not isinstance(value, dict) and key != "learner"}
        lines.append(f"run         {_values(plain)}")
    if found.command is not None:
        seed = (
            "" if found.same_seed else "  (with a seed of its own: only the sweep's trials have one that a job gives)"
        )
        lines.append(f"alone       {found.command}{seed}")
    return lines


def _values(values: dict[str, Any]) -> str:
    return "  ".join(f"{name}={_value(value)}" for name, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "-".join(map(str, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _pack(pack: InPack) -> str:
    parts = [pack.pack, f"{pack.runs} {'run' if pack.runs == 1 else 'runs'}"]
    if pack.joined is not None:
        parts.append(f"from the pack's update {pack.joined} on")
    if device := pack.device.get("oplstm.device"):
        parts.append(f"on {device}")
    if not pack.begun:
        parts.append("never begun")
    if pack.resumed:
        parts.append(f"resumed {_times(pack.resumed)}")
    if pack.retried:
        parts.append(f"tried again {_times(pack.retried)}")
    return ", ".join(parts)


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
