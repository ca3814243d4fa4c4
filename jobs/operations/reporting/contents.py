"""What a report says: read from the journals and files of a sweep and of its final run."""

from dataclasses import dataclass
from typing import Any, Final

from jobs.operations.family import as_named_now
from jobs.operations.trial_rows import hours_of, ranked, trial_rows
from jobs.promotion.seeds import SeedVariance
from jobs.promotion.selection import configurations
from jobs.promotion.standing import Standing, standings
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.scores import FinalResult, final_result
from jobs.store.state import SweepState
from jobs.store.states import OUT, SweepKind, TrialState
from jobs.store.trial import Trial
from jobs.sweep.tracked import key
from oplstm.errors import RequestError, WorkError, one_line
from tracking.outbox.outbox import idle_outbox

LEADERS: Final = 5
"""Trials whose learning curves are drawn."""


@dataclass(frozen=True)
class FinalRun:
    """The final run of a promotion.

    Attributes:
        header: Of it.
        state: Of it.
        result: Its test result; None while a seed is missing.
        run_id: Its MLflow run; None while it has none.
    """

    header: Header
    state: SweepState
    result: FinalResult | None
    run_id: str | None


@dataclass(frozen=True)
class Contents:
    """What a report says.

    Attributes:
        header: Of the sweep.
        state: Of the sweep.
        ranked: All trials, those that can be promoted first, best meta-validation first.
        hours: Of training, by the names of trials and replicates; those of a pack are shared by its runs.
        standings: How the completed configurations stand, best validation first; empty where none has completed.
        final: The final run of the last promotion; None where there is none.
        run_ids: MLflow runs, by the names of trials and replicates and, for the sweep's own, "".
        problems: What could not be read, a line each.
        server: Address of the MLflow server that links lead to, if one is known.
    """

    header: Header
    state: SweepState
    ranked: tuple[Trial, ...]
    hours: dict[str, float]
    standings: tuple[Standing, ...]
    final: FinalRun | None
    run_ids: dict[str, str]
    problems: tuple[str, ...]
    server: str | None

    @classmethod
    def of(cls, folder: SweepFolder) -> "Contents":
        """Those of a sweep, which may be running. What of its results is damaged is named, and left out.

        Raises:
            RequestError: It is no sweep, or its files are of another version.
            WorkError: Its journal is damaged.
        """
        header = Header.read(folder)
        if header.kind is not SweepKind.SWEEP:
            raise RequestError(f"{folder.name} is a {header.kind} run; report takes a sweep")
        state, problems = SweepState.of(folder, header), list[str]()
        state.promotion = as_named_now(Home(folder.home), header, state.promotion)
        outbox = idle_outbox(folder.journal)
        names = {"": key(header)} | {name: key(header, name) for name in state.by_name}
        found = {name: outbox.run_id(unique) for name, unique in names.items()}
        return cls(
            header=header,
            state=state,
            ranked=tuple(ranked(state)),
            hours=hours_of(state),
            standings=tuple(_standings(folder, header, state=state, problems=problems)),
            final=_final(folder, header, state=state, problems=problems),
            run_ids={name: run_id for name, run_id in found.items() if run_id is not None},
            problems=tuple(problems),
            server=header.tracking_uri,
        )

    def rows(self) -> list[dict[str, Any]]:
        """The trials as rows of a table."""
        return trial_rows(self.state, self.header.measure, hours=self.hours, run_ids=self.run_ids)

    @property
    def leaders(self) -> list[Trial]:
        """The trials whose learning curves are drawn."""
        among = (trial for trial in self.ranked if trial.points and not (trial.is_warm or trial.state in OUT))
        return list(among)[:LEADERS]

    @property
    def failures(self) -> list[Trial]:
        """What diverged or failed, and points of which the space made no run."""
        alone = (trial for trial in self.state.trials.values() if trial.state in OUT or not trial.run)
        return [*alone, *(trial for trial in self.state.replicates.values() if trial.state in OUT)]


def _standings(folder: SweepFolder, header: Header, *, state: SweepState, problems: list[str]) -> list[Standing]:
    """With the ties of configurations where a promotion has found how much seeds matter."""
    if not any(trial.state is TrialState.COMPLETE and not trial.is_warm for trial in state.trials.values()):
        return []
    made = state.promotion
    try:
        found = configurations(folder, state, header.measure)
        best = next((place for place, one in enumerate(found) if made and one.name == made.picked), 0)
        spread = None if made is None or made.seed_variance is None else SeedVariance.of(made.seed_variance)
        return standings(found, header.measure, best=best, spread=spread)
    except (WorkError, ValueError, OSError) as error:  # of different numbers of tasks, where files were exchanged
        problems.append(f"how the trials stand is not shown: {one_line(error)}")
        return []


def _final(folder: SweepFolder, header: Header, *, state: SweepState, problems: list[str]) -> FinalRun | None:
    if state.promotion is None or state.promotion.final is None:
        return None
    there = Home(folder.home).sweep_folder(state.promotion.final)
    if not there.header.is_file():
        return None
    try:
        other = Header.read(there)
        if other.of != header.id or other.kind is not SweepKind.FINAL:
            return None
        found = SweepState.of(there, other)
        result = final_result(there, found)
    except (RequestError, WorkError, OSError) as error:
        problems.append(f"the final run is not shown: {one_line(error)}")
        return None
    return FinalRun(other, found, result, idle_outbox(there.journal).run_id(key(other)))
