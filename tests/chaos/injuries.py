"""What is done to whom and when: the same seed draws the same injuries."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from tests.chaos.workload import WORKLOADS, Workload


class Phase(StrEnum):
    """The work during which an injury comes; a resume belongs to what it resumes."""

    SWEEP = "sweep"
    PROMOTE = "promote"


class Victim(StrEnum):
    """Who is hurt.

    ``MACHINE`` is every process of the verb at once, but for the MLflow server, which is elsewhere: what a batch system
    signals at the end of a job's time.
    """

    DRIVER = "driver"
    COORDINATOR = "coordinator"
    WORKER = "worker"
    RAYLET = "raylet"
    GCS = "gcs"
    SERVER = "server"
    MACHINE = "machine"


class Kind(StrEnum):
    """What is done. ``POWER`` is SIGKILL, after which the disk forgets what nobody synced."""

    KILL = "SIGKILL"
    TERM = "SIGTERM"
    INT = "SIGINT"
    STOP = "SIGSTOP/CONT"
    POWER = "power cut"


@dataclass(frozen=True)
class Injury:
    """One of a history.

    Attributes:
        phase: During which it comes.
        victim: Who is hurt.
        kind: How.
        share: Of the work of the phase that is done when it comes; None for at once, in the start of the verb.
        stage: For one that comes at once: the process that must be there.
        dice: Seed of what is left to chance, such as what a disk forgets.
    """

    phase: Phase
    victim: Victim
    kind: Kind
    share: float | None
    stage: Victim
    dice: int

    @property
    def ends_the_verb(self) -> bool:
        """Whether a verb that is hurt so has to be started anew."""
        if self.kind is Kind.STOP or self.victim is Victim.SERVER:
            return False
        return self.victim is not Victim.WORKER

    @property
    def is_costly(self) -> bool:
        """Whether a restart of a verb or of the server follows."""
        return self.ends_the_verb or self.victim is Victim.SERVER

    def __str__(self) -> str:
        when = f"when {self.stage} is there" if self.share is None else f"at {self.share:.2f}"
        return f"{self.kind} of {self.victim}, {self.phase} {when}"


@dataclass(frozen=True)
class RoundPlan:
    """A sweep and its promotion with what happens to them, in order."""

    workload: Workload
    injuries: tuple[Injury, ...]


ON_RAY: Final = {
    (Victim.WORKER, Kind.KILL): 6,
    (Victim.WORKER, Kind.TERM): 1,
    (Victim.WORKER, Kind.INT): 1,
    (Victim.WORKER, Kind.STOP): 1,
    (Victim.COORDINATOR, Kind.KILL): 3,
    (Victim.COORDINATOR, Kind.TERM): 1,
    (Victim.COORDINATOR, Kind.INT): 1,
    (Victim.COORDINATOR, Kind.STOP): 1,
    (Victim.RAYLET, Kind.KILL): 2,
    (Victim.RAYLET, Kind.TERM): 1,
    (Victim.RAYLET, Kind.STOP): 1,
    (Victim.GCS, Kind.KILL): 1,
    (Victim.GCS, Kind.TERM): 1,
    (Victim.GCS, Kind.STOP): 1,
}
EVERYWHERE: Final = {
    (Victim.DRIVER, Kind.KILL): 3,
    (Victim.DRIVER, Kind.TERM): 2,
    (Victim.DRIVER, Kind.INT): 2,
    (Victim.DRIVER, Kind.STOP): 1,
    (Victim.MACHINE, Kind.KILL): 2,
    (Victim.MACHINE, Kind.TERM): 2,
    (Victim.MACHINE, Kind.INT): 1,
    (Victim.MACHINE, Kind.POWER): 5,
    (Victim.SERVER, Kind.KILL): 3,
    (Victim.SERVER, Kind.TERM): 1,
    (Victim.SERVER, Kind.STOP): 2,
}
WITHOUT_RAY: Final = {(Victim.WORKER, Kind.KILL): 3, (Victim.WORKER, Kind.STOP): 1}
"""Final runs train in processes that SIGINT and SIGTERM do not reach."""
WEIGHTS: Final = {Phase.SWEEP: {**ON_RAY, **EVERYWHERE}, Phase.PROMOTE: {**WITHOUT_RAY, **EVERYWHERE}}
IN_A_ROUND: Final = 12
IN_PROMOTIONS: Final = 0.25
AT_ONCE: Final = 0.3


def draw(
    seed: int, kills: int, *, most_costly: int | None = None, workloads: Sequence[Workload] = WORKLOADS
) -> list[RoundPlan]:
    """A history.

    Args:
        seed: Of everything.
        kills: Injuries in all.
        most_costly: At most so many that a restart of a verb or of the server follows.
        workloads: Taken in turns, a dozen injuries each.
    """
    dice = random.Random(seed)
    rounds, left, costly = [], kills, kills if most_costly is None else most_costly
    while left:
        count = min(left, IN_A_ROUND)
        left -= count
        injuries: list[Injury] = []
        for _ in range(count):
            injuries.append(_injury(dice, costly=costly > 0))
            costly -= injuries[-1].is_costly
        rounds.append(RoundPlan(workloads[len(rounds) % len(workloads)], tuple(sorted(injuries, key=_order))))
    return rounds


def _injury(dice: random.Random, *, costly: bool) -> Injury:
    phase = Phase.PROMOTE if dice.random() < IN_PROMOTIONS else Phase.SWEEP
    while True:
        [(victim, kind)] = dice.choices(list(WEIGHTS[phase]), list(WEIGHTS[phase].values()))
        share = None if dice.random() < AT_ONCE else dice.uniform(0.0, 0.95)
        stages = [Victim.DRIVER, Victim.WORKER]
        if phase is Phase.SWEEP:
            stages += [Victim.RAYLET, Victim.COORDINATOR]
        stage = dice.choice(stages) if victim in (Victim.DRIVER, Victim.MACHINE, Victim.SERVER) else victim
        injury = Injury(phase, victim, kind, share, stage, dice.getrandbits(32))
        if costly or not injury.is_costly:
            return injury


def _order(injury: Injury) -> tuple[bool, float]:
    """Those that come at once have a place among the others too: one that their dice give."""
    share = random.Random(injury.dice).random() if injury.share is None else injury.share
    return injury.phase is Phase.PROMOTE, share
