"""A comparison in words: validation first, then tuning, test scores last."""

import json
from collections.abc import Iterator
from typing import Any

from jobs.cli.display.results import interval
from jobs.operations.compare import Comparison, Difference, Scored


def comparison_lines(found: Comparison) -> list[str]:
    """What differs between two sweeps or trials, and how their scores do."""
    first, second = found.names
    lines = [f"{first}  and  {second}"]
    lines += ["job", *_differences(found.job)] if found.job else ["job: the same"]
    if found.searched:
        lines += ["searched values", *_differences(found.searched)]
    lines += _score(f"meta-validation {found.measure}", found, found.validation)
    if found.validation is not None:
        better = found.validation.better
        lines.append("  they cannot be told apart" if better is None else f"  {found.names[better]} is better")
    if found.tuning is not None:
        lines.append(f"tuning: {found.tuning}")
    lines += [f"note: {note}" for note in found.notes]
    if found.test is not None:
        lines += _score(f"test {found.measure}, which picks nothing", found, found.test)
    return lines


def _differences(differences: tuple[Difference, ...]) -> Iterator[str]:
    width = max(len(one.key) for one in differences)
    for one in differences:
        yield f"  {one.key:{width}}  {_value(one.values[0])}  |  {_value(one.values[1])}"


def _value(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value)


def _score(title: str, found: Comparison, scored: Scored | None) -> Iterator[str]:
    if scored is None:
        yield f"{title}: not both have one"
        return
    yield title
    for name, trials, score, tasks in zip(found.names, found.trials, scored.scores, scored.tasks, strict=True):
        whose = "" if name.endswith(trials) else f" ({', '.join(trials)})"
        yield f"  {name}{whose}  {interval(score)}  (95% over {tasks} tasks: about these trained weights)"
    how = "paired: both met the same tasks" if scored.paired else "unpaired: they met different tasks"
    yield f"  difference  {interval(scored.difference)}  (95%, {how})"
