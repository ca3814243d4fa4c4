"""Whatever befalls a sweep (packs that die, kills, stops, resumes, twins, extensions), its trials end as in one left
alone.

Hypothesis makes up histories, and shortens one that fails to the steps that it takes. What becomes of a trial must not
hang on the order of others here: so the pruner is one of thresholds, and the sampler learns nothing.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from jobs.operations import start
from jobs.operations.control import Means
from jobs.operations.extend import extend
from jobs.operations.study_check import study_problems
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.reruns import failed, train_again
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.sweep.messages import Assignment
from oplstm.errors import RequestError
from oplstm.training.reports import RunEnd
from tests.jobs.formula_training import finish, job, new_sweep, opened, same_state, state_of, training
from tracking.journal.file_lock import FileLock

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_waiting_for_the_disk")]

MORE, LONGER = {"trials": 7}, {"budget": 60}
PRUNER = {"name": "ThresholdPruner", "options": {"upper": 0.75, "n_warmup_steps": 15}, "patience": None}
SWEEPS = {
    "alone": job("rates", trials=3, pruner=PRUNER),
    "in packs": job("rates", trials=5, pruner=PRUNER, resources={"pack": 2}),
}


def told(state: SweepState) -> dict[str, Any]:
    """All that was found of each trial: its point of the space, its run, its values and its end.

    How long a pruned run might have been says when it was asked for: before or after the budget was extended.
    """
    return {
        trial.name: (
            trial.params,
            {key: value for key, value in trial.run.items() if key != "budget" or trial.state is TrialState.COMPLETE},
            [{name: value for name, value in point.items() if name != "time"} for point in trial.points],
            (trial.state, trial.best),
        )
        for trial in state.trials.values()
    }


def extended(folder: SweepFolder, extension: dict[str, int]) -> None:
    """Let it have more; whoever waits for that trains it."""
    extend(Home(folder.home), folder.name, progress=lambda now: None, means=Means(trust=True), **extension)


def left_alone(root: Path, name: str, *extensions: dict[str, int]) -> dict[str, Any]:
    """What is found where a sweep, and after it each of its extensions, goes to its end."""
    folder = new_sweep(root / "sweeps" / "s", SWEEPS[name])
    finish(folder)
    for extension in extensions:
        extended(folder, extension)
        finish(folder)
    return told(state_of(folder))


class Histories(RuleBasedStateMachine):
    """A sweep with two slots, and what may happen to it."""

    expected: dict[tuple[bool, bool], dict[str, Any]]

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.folder = new_sweep(self.root / "sweeps" / "s", SWEEPS[self.name])
        self.has_more = self.is_longer = False
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

    @precondition(lambda self: not self.has_more)
    @rule()
    def ask_for_more_trials(self) -> None:
        self.coordinator.close(flush_seconds=0)
        extended(self.folder, MORE)
        self.has_more = True
        self._go_on()

    @precondition(lambda self: not self.is_longer)
    @rule()
    def let_it_end_and_ask_for_a_longer_budget(self) -> None:
        self.coordinator.close(flush_seconds=0)
        finish(self.folder)
        extended(self.folder, LONGER)
        self.is_longer, self.ended = True, {}
        self._go_on()

    @precondition(lambda self: self.busy)
    @rule(data=st.data())
    def a_pack_is_given_up_and_trained_again_when_all_has_ended(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.busy) - 1), label="pack")
        self.coordinator.pack_failed(self.busy[place][0].pack, "failed: it died")
        self.coordinator.close(flush_seconds=0)
        state = finish(self.folder)
        if trials := failed(state):  # it may have been through
            train_again(self.folder.journal, state, trials)
        self.ended = {}
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
            state = finish(self.folder)
            assert told(state) == self.expected[self.has_more, self.is_longer]
            opened(self.folder).close(flush_seconds=0)
            study = study_problems(self.folder, Header.read(self.folder), state)
            assert not [*study], "a study that is made again holds what the journal says"
        finally:
            shutil.rmtree(self.root)


@pytest.mark.parametrize("name", SWEEPS)
def test_however_a_history_goes_the_trials_end_as_if_nothing_had_happened(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FileLock.__init__.__kwdefaults__, "patience", 0.0)
    monkeypatch.setattr(start, "cluster_and_server", lambda *_, **__: contextlib.nullcontext("uri"))
    monkeypatch.setattr(start, "run_on_cluster", lambda *_: None)
    expected = {
        (more, longer): left_alone(tmp_path / f"{more}-{longer}", name, *[MORE] * more, *[LONGER] * longer)
        for more in (False, True)
        for longer in (False, True)
    }
    assert {state for *_, (state, _) in expected[False, False].values()} >= {TrialState.COMPLETE, TrialState.PRUNED}
    machine = type("Histories", (Histories,), {"name": name, "expected": expected})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=25, stateful_step_count=12, derandomize=True, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )  # fmt: skip
