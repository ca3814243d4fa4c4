"""Whatever befalls a sweep (packs that die, kills, stops, resumes, twins), its trials end as in one left alone.

Hypothesis makes up histories, and shortens one that fails to the steps that it takes. What becomes of a trial must not
hang on the order of others here: so the pruner is one of thresholds, and the sampler learns nothing.
"""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from jobs.store.home import SweepFolder
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.sweep.messages import Assignment
from oplstm.errors import RequestError
from oplstm.training.reports import RunEnd
from tests.jobs.formula_training import finish, job, new_sweep, opened, same_state, state_of, training
from tracking.journal.file_lock import FileLock

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_waiting_for_the_disk")]

PRUNER = {"name": "ThresholdPruner", "options": {"upper": 0.75, "n_warmup_steps": 15}, "patience": None}
SWEEPS = {
    "alone": job("rates", trials=3, pruner=PRUNER),
    "in packs": job("rates", trials=5, pruner=PRUNER, resources={"pack": 2}),
}


def told(state: SweepState) -> dict[str, Any]:
    """All that was found of each trial: its point of the space, its run, its values and its end."""
    return {
        trial.name: (
            trial.params,
            trial.run,
            [{name: value for name, value in point.items() if name != "time"} for point in trial.points],
            (trial.state, trial.best),
        )
        for trial in state.trials.values()
    }


class Histories(RuleBasedStateMachine):
    """A sweep with two slots, and what may happen to it."""

    expected: dict[str, Any]

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.folder = new_sweep(self.root / "s", SWEEPS[self.name])
        self.coordinator = opened(self.folder)
        self.busy: list[tuple[Assignment, Iterator[int]]] = []
        self.ended: dict[str, TrialState] = {}

    name = "alone"

    @precondition(lambda self: len(self.busy) < 2)
    @rule()
    def begin_a_pack(self) -> None:
        if (assignment := self.coordinator.next_pack(2)) is not None:
            self.busy.append((assignment, training(self.coordinator, assignment)))

    @precondition(lambda self: self.busy)
    @rule(data=st.data(), exchanges=st.integers(1, 5))
    def train_on(self, data: st.DataObject, exchanges: int) -> None:
        place = data.draw(st.integers(0, len(self.busy) - 1), label="pack")
        for _ in range(exchanges):
            if next(self.busy[place][1], None) is None:
                del self.busy[place]
                return

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def a_process_dies(self, data: st.DataObject) -> None:
        """Another begins the pack anew, and reports what was reported before."""
        place = data.draw(st.integers(0, len(self.busy) - 1), label="pack")
        assignment, _ = self.busy[place]
        self.busy[place] = assignment, training(self.coordinator, assignment)

    @rule(torn=st.booleans())
    def kill_all(self, torn: bool) -> None:
        """What was being written is half there, or not at all."""
        self.coordinator.give_up("killed")
        self.coordinator.close(flush_seconds=0)
        if torn:
            with self.folder.journal.open("ab") as journal:
                journal.write(b'[{"event":"poi')
        self._go_on()

    @rule()
    def stop(self) -> None:
        self.folder.stop_request.touch()
        for assignment, _ in self.busy:
            names = [name for name in assignment.trials if not self.coordinator.state.by_name[name].state.ended]
            self.coordinator.on_ends([RunEnd(name, "stopped", 1, 1, {}) for name in names])
        assert self.coordinator.next_pack() is None
        self.coordinator.close(flush_seconds=0)
        self._go_on()

    def _go_on(self) -> None:
        self.coordinator, self.busy = opened(self.folder), []

    @rule()
    def another_resumes_it_too(self) -> None:
        with pytest.raises(RequestError):
            opened(SweepFolder(self.folder.path))

    @rule()
    def look(self) -> None:
        """The journal says what the coordinator believes, and an end never changes."""
        assert same_state(self.folder, self.coordinator)
        for trial in self.coordinator.state.trials.values():
            assert self.ended.setdefault(trial.name, trial.state) is trial.state or not self.ended[trial.name].ended
            self.ended[trial.name] = trial.state
            updates = [point["update"] for point in trial.points]
            assert updates == sorted(set(updates)), f"{trial.name}: each point once, in order"

    def teardown(self) -> None:
        try:
            self.look()
            self.coordinator.close(flush_seconds=0)
            assert told(finish(self.folder)) == self.expected
        finally:
            shutil.rmtree(self.root)


@pytest.mark.parametrize("name", SWEEPS)
def test_however_a_history_goes_the_trials_end_as_if_nothing_had_happened(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FileLock.__init__.__kwdefaults__, "patience", 0.0)
    finish(alone := new_sweep(tmp_path / "s", SWEEPS[name]))
    expected = told(state_of(alone))
    assert {state for *_, (state, _) in expected.values()} >= {TrialState.COMPLETE, TrialState.PRUNED}
    machine = type("Histories", (Histories,), {"name": name, "expected": expected})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25, stateful_step_count=12, derandomize=True, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
