"""What came of it all, for a person and for a program."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from tests.chaos.comparison import Compared
from tests.chaos.injuries import Injury, Phase
from tests.chaos.suffering import Suffered


@dataclass(frozen=True)
class Calm:
    """What the unbroken run of a workload took.

    Attributes:
        total: How much there was to do in each phase.
        seconds: Of each phase.
    """

    total: dict[Phase, int]
    seconds: dict[Phase, float]


@dataclass(frozen=True)
class Told:
    """A round that is over."""

    workload: str
    suffered: Suffered
    compared: Compared
    calm: Calm

    @property
    def differences(self) -> list[str]:
        """What is not as it should be."""
        found = [*self.suffered.faults, *self.compared.differences]
        return found + [f"{count} points {what}" for what, count in
                        (("doubled", self.compared.doubled), ("lost", self.compared.lost)) if count]  # fmt: skip

    @property
    def restarts(self) -> int:
        """Verbs beyond those that an unbroken run takes."""
        return sum(self.suffered.verbs.values()) - len(Phase)


def to_json(seed: int, rounds: list[Told]) -> dict[str, Any]:
    """Everything."""
    return {
        "version": 1,
        "seed": seed,
        "summary": _summary(rounds),
        "rounds": [
            {
                "workload": one.workload,
                **one.suffered.to_json(),
                **asdict(one.compared),
                "unbroken": asdict(one.calm),
                "differences": one.differences,
            }
            for one in rounds
        ],
    }


def _summary(rounds: list[Told]) -> dict[str, Any]:
    done = [injury for one in rounds for injury in one.suffered.injuries]
    taken = sum(sum(one.suffered.seconds.values()) for one in rounds)
    calm = sum(sum(one.calm.seconds.values()) for one in rounds)
    parts = ("ending", "restarting", "waiting")
    ending, again, waiting = (sum(getattr(one.suffered, name) for one in rounds) for name in parts)
    return {
        "injuries": len(done),
        "missed": sum(len(one.suffered.missed) for one in rounds),
        **{name: sum(getattr(one.compared, name) for one in rounds) for name in FIGURES},
        "differences": sum(len(one.differences) for one in rounds),
        "restarts": sum(one.restarts for one in rounds),
        "seconds": round(taken, 1),
        "seconds_unbroken": round(calm, 1),
        "seconds_of_ends": round(ending, 1),
        "seconds_of_restarts": round(again, 1),
        "seconds_without_a_server": round(waiting, 1),
        "times_unbroken_without_these": round((taken - ending - again - waiting) / calm, 2) if calm else None,
    }


def to_markdown(seed: int, rounds: list[Told]) -> str:
    """A table of who was hurt how and when, one of what came of it, and each difference."""
    done = [injury for one in rounds for injury in one.suffered.injuries]
    summary = _summary(rounds)
    lines = [f"Chaos with SEED={seed}: {len(done)} injuries in {len(rounds)} rounds", ""]
    lines += _table(["process", "fault", *map(_heading, MOMENTS), "all"], _by_kind(done))
    figures = {
        "points expected / found / doubled / lost": " / ".join(
            str(summary[name]) for name in ("expected", "found", "doubled", "lost")
        ),
        "trials compared to the bit / within rounding": f"{summary['to_the_bit']} / {summary['within_rounding']}",
        "differences": summary["differences"],
        "injuries that found nobody": summary["missed"],
        "restarts of a verb": summary["restarts"],
        "seconds, unbroken / with injuries": f"{summary['seconds_unbroken']} / {summary['seconds']}",
        "of these from an injury to the verb's end / in starting verbs again / in waiting for a server": (
            f"{summary['seconds_of_ends']} / {summary['seconds_of_restarts']} / {summary['seconds_without_a_server']}"
        ),
        "time over the unbroken run without these": f"{summary['times_unbroken_without_these']} times",
    }
    lines += ["", *_table(["", ""], [[name, str(value)] for name, value in figures.items()])]
    for number, one in enumerate(rounds):
        lines += [f"* round {number} ({one.workload}): {line}" for line in one.differences]
    return "\n".join(lines) + "\n"


FIGURES = ("expected", "found", "doubled", "lost", "to_the_bit", "within_rounding")
MOMENTS = ("start", "early", "middle", "late", "promote")


def _heading(moment: str) -> str:
    return {"start": "in a start", "promote": "in a promotion"}.get(moment, f"{moment} in a sweep")


def _moment(injury: Injury) -> str:
    if injury.phase is Phase.PROMOTE:
        return "promote"
    if injury.share is None:
        return "start"
    return ("early", "middle", "late")[min(2, int(injury.share * 3))]


def _by_kind(done: list[Injury]) -> list[list[str]]:
    counted = Counter((str(injury.victim), str(injury.kind), _moment(injury)) for injury in done)
    rows = []
    for victim, kind in sorted({key[:2] for key in counted}):
        numbers = [counted[victim, kind, moment] for moment in MOMENTS]
        rows.append([victim, kind, *(str(number or "") for number in numbers), str(sum(numbers))])
    totals = [sum(count for key, count in counted.items() if key[2] == moment) for moment in MOMENTS]
    return [*rows, ["all", "", *map(str, totals), str(len(done))]]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
