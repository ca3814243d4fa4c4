"""`oplstm extend`: whatever happened before, the end is that of a sweep whose job had said so from the beginning."""

import contextlib
import random

import pytest

from jobs.execution.pack_worker import train_pack
from jobs.jobfile.sections import Resources
from jobs.operations import start
from jobs.operations.control import Means, resume
from jobs.operations.extend import extend, more_seeds
from jobs.operations.promote import Promotion
from jobs.operations.running import Outcome
from jobs.operations.study_check import study_problems
from jobs.operations.tuning import shared_hours
from jobs.store.events import Asked, Ended, Finished, Validated, encode
from jobs.store.extended import Extended, extended_job
from jobs.store.header import Header
from jobs.store.home import Home
from jobs.store.states import SweepKind
from oplstm.errors import RequestError
from oplstm.training.pack import Pack
from tests.jobs.cli.verbs import run as verb
from tests.jobs.cli.verbs import the_complaint
from tests.jobs.execution.test_turns import JOB, assert_alike, results
from tests.jobs.formula_training import events, finish, job, new_sweep, no_server, opened, state_of, train, training
from tracking.journal.journal import Journal

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

SWEEPS = {
    "random": {},
    "grid": {"space": "six_cells", "sampler": {"name": "grid"}},
    "pruned": {"pruner": {"name": "MedianPruner", "options": {"n_startup_trials": 1}, "patience": None}},
}


def of(kind, trials):
    return job(**{"space": "rates", "trials": trials, **SWEEPS[kind]})


def work(folder, *_):
    finish(folder)
    return Outcome(folder, None, waiting=0)


@pytest.fixture
def no_ray(monkeypatch):
    monkeypatch.setattr(start, "cluster_and_server", lambda *_, **__: contextlib.nullcontext("uri"))
    monkeypatch.setattr(start, "run_on_cluster", work)


def larger(name, trials):
    return extend(Home(), name, trials=trials, progress=lambda now: None, means=Means(trust=True))


def facts(folder):
    """What was tried and found, in its order: what a user of the sweep sees."""
    return [event for event in events(folder) if isinstance(event, Asked | Validated | Ended)]


def assert_none_twice(folder, trials):
    """No point of the space was tried twice, and each was told to MLflow and to Optuna once."""
    state = state_of(folder)
    assert state.finished
    assert len({str(trial.config.configuration()) for trial in state.trials.values()}) == len(state.trials) == trials
    assert list(study_problems(folder, Header.read(folder), state)) == []
    records = [record for record in Journal.read(folder.journal) if record["kind"] == "track"]
    created = [record["key"] for record in records if record["op"] == "create_run"]
    assert len(created) == len(set(created)) == 1 + trials
    points = [(r["key"], r["step"]) for r in records if "val/best" in r.get("metrics", {}) and "/" in r["key"]]
    assert len(points) == len(set(points)) == sum(len(trial.points) for trial in state.trials.values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", SWEEPS)
def test_a_sweep_that_is_extended_equals_one_that_was_larger_from_the_beginning(kind, oplstm_home, no_ray):
    whole = new_sweep(oplstm_home / "sweeps" / "whole", of(kind, 5))
    finish(whole)
    folder = new_sweep(oplstm_home / "sweeps" / "s", of(kind, 2))
    finish(folder)
    larger("s", 3)
    larger("s", 5)
    assert facts(folder) == facts(whole)
    assert Header.read(folder).job == Header.read(whole).job
    assert_none_twice(folder, 5)


class Killed(BaseException):
    """In the place of a signal that nobody can catch."""


def killed(*_):
    raise Killed


def some_of_it(chance):
    """Work that trains some packs and parts of packs, and then is killed or stopped."""

    def work(folder, *_):
        coordinator = opened(folder)
        for _ in range(chance.randrange(3)):
            if (assignment := coordinator.next_pack()) is not None:
                train(coordinator, assignment)
        if chance.random() < 0.7 and (assignment := coordinator.next_pack()) is not None:
            for _ in zip(range(chance.randrange(1, 4)), training(coordinator, assignment), strict=False):
                pass
        coordinator.close(flush_seconds=0)
        if chance.random() < 0.5:
            raise Killed
        return Outcome(folder, None, waiting=0)

    return work


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_over_any_history_no_point_is_tried_twice_and_the_end_is_that_of_the_unbroken_sweep(
    seed, oplstm_home, no_ray, monkeypatch
):
    chance = random.Random(seed)
    kind, wanted = chance.choice([*SWEEPS]), chance.randint(3, 6)
    whole = new_sweep(oplstm_home / "sweeps" / "whole", of(kind, wanted))
    finish(whole)
    folder = new_sweep(oplstm_home / "sweeps" / "s", of(kind, 1))
    monkeypatch.setattr(start, "run_on_cluster", some_of_it(chance))
    write_again = Header.write_again
    for _ in range(100):
        state = state_of(folder)
        limit = extended_job(Header.read(folder).job, state.extensions).trials
        with monkeypatch.context() as patch, contextlib.suppress(Killed):
            if chance.random() < 0.3:  # between the journal and the header
                patch.setattr(Header, "write_again", killed)
            if limit < wanted and chance.random() < 0.5:
                larger("s", chance.randint(limit + 1, wanted))
            elif not state.finished:
                resume(Home(), "s", progress=lambda now: None, means=Means(trust=True))
        assert Header.write_again is write_again
        if state_of(folder).finished and Header.read(folder).job.trials == wanted:
            break
    assert facts(folder) == facts(whole)
    assert sum(isinstance(event, Finished) for event in events(folder)) >= 1
    assert_none_twice(folder, wanted)


def written(sweeps):
    return {path: path.read_bytes() for path in sweeps.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_what_cannot_be_extended_is_one_line_and_starts_nothing(oplstm_home, no_ray):
    sweeps = oplstm_home / "sweeps"
    grid = new_sweep(sweeps / "grid", job("three_rates", sampler={"name": "grid"}, trials=3))
    finish(new_sweep(sweeps / "all", job("three_rates", sampler={"name": "grid"}, trials=None)))
    finish(new_sweep(sweeps / "final", job(None, fixed={"lr": 0.01}, seeds=1, trials=None), kind=SweepKind.FINAL))
    finish(grid)
    before = written(sweeps)
    for name, trials, complaint in (
        ("grid", 4, "grid has tried all 3 points of its space, and there are no more"),
        ("grid", 3, "--trials are those in all: grid has 3, so it must be more, got 3"),
        ("grid", 100_001, "trials: Input should be less than or equal to 100000, got 100001"),
        ("all", 7, "all tries every point of its grid, and there are no more for --trials to add"),
        ("final", 2, "final is a final run, which has seeds and no trials; extend takes a sweep"),
    ):
        assert the_complaint("extend", name, "--trials", trials, "--trust") == complaint
    with Journal(grid.journal):
        assert the_complaint("extend", "grid", "--trials", 4) == "grid is running; oplstm stop grid stops it"
    assert written(sweeps) == before


def test_a_sweep_that_goes_on_after_its_promotion_is_promoted_anew(small_sweep, no_ray):
    made = Promotion.of(small_sweep).choose(Home(), Promotion.of(small_sweep).rescorer()).event(final="f")
    with Journal(small_sweep.journal) as journal:
        journal.append([encode(made)])
    assert (Promotion.of(small_sweep).made, Promotion.of(small_sweep).anew) == (made, None)
    with Journal(small_sweep.journal) as journal:
        journal.append([encode(Extended(trials=5, budget=None, goes_on=()))])
    promotion = Promotion.of(small_sweep)
    assert promotion.made is None
    assert promotion.anew == f"small was promoted before ({made.picked}) and has gone on since: it is promoted anew"


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr("jobs.operations.control.tracking_server", lambda *_: contextlib.nullcontext(no_server))
    monkeypatch.setattr("jobs.sweep.coordinator.EMBEDDED_FLUSH_SECONDS", 0.0)
    monkeypatch.setattr(start, "slots_here", lambda _: 1)  # else each pack has a process of its own


@pytest.mark.slow
def test_more_seeds_join_a_final_run_whatever_kills_it(oplstm_home, here, monkeypatch):
    """All seeds count as if there had been so many; trained apart, they are the same but for rounding."""
    of = job(None, fixed={"widths": [2], "passes": 1, "meta_batch_size": 2, "lr": 0.01}, trials=None)
    folders = [new_sweep(oplstm_home / "sweeps" / name, of.model_copy(update={"seeds": seeds}), kind=SweepKind.FINAL)
               for name, seeds in (("whole", 3), ("s", 2))]  # fmt: skip
    ends = [resume(Home(), folder.name, progress=lambda now: None) for folder in folders]
    assert [len(end.result.test.seed_means) for end in ends] == [3, 2]
    with monkeypatch.context() as patch:
        patch.setattr(Header, "write_again", killed)
        with pytest.raises(Killed):
            more_seeds(Home(), "s", count=1, means=Means(), progress=lambda now: None)
    result = resume(Home(), "s", progress=lambda now: None).result
    assert result.test.seed_means == pytest.approx(ends[0].result.test.seed_means, rel=1e-4)
    assert result.test.ci95_seeds == pytest.approx(ends[0].result.test.ci95_seeds, rel=1e-3)
    whole, joined = ([event for event in events(folder) if isinstance(event, Asked)] for folder in folders)
    assert joined == whole
    assert Header.read(folders[1]).job == Header.read(folders[0]).job
    with pytest.raises(RequestError, match="seeds: Input should be less than or equal to 1000, got 1002"):
        more_seeds(Home(), "s", count=999, means=Means(), progress=lambda now: None)


def train_really(folder, *_):
    """All that is left, unless it is killed."""
    coordinator = opened(folder)
    try:
        while (assignment := coordinator.next_pack()) is not None:
            train_pack(assignment, coordinator, folder, resources=coordinator.job.resources)
    except Killed:
        pass
    coordinator.close(flush_seconds=0)
    return Outcome(folder, None, waiting=0)


def longer(folder, budget, **keys):
    return extend(Home(), folder.name, budget=budget, progress=lambda now: None, means=Means(trust=True), **keys)


def at_length(path, tasks, pack):
    budget = {**JOB.budget, "tasks": tasks}
    return new_sweep(path, JOB.model_copy(update={"budget": budget, "resources": Resources(pack=pack)}))


@pytest.mark.slow
@pytest.mark.parametrize("pack", [1, 3])
def test_runs_go_on_to_a_longer_budget_as_if_they_had_had_it(pack, oplstm_home, no_ray, monkeypatch):
    """To the bit where each has a pack of its own; what shares one with others than it would have, but for rounding.

    It is killed between the journal and the header, and once more in the midst of training.
    """
    sweeps = oplstm_home / "sweeps"
    whole, folder = at_length(sweeps / "whole", 16, pack), at_length(sweeps / "s", 10, pack)
    train_really(whole)
    train_really(folder)
    assert len(list(folder.ends.iterdir())) == 6
    steps = []

    def step(of):
        steps.append(of.update)
        if len(steps) == 3:
            raise Killed
        own_step(of)

    own_step = Pack.step
    with monkeypatch.context() as patch:
        patch.setattr(Header, "write_again", killed)
        with pytest.raises(Killed):
            longer(folder, 16)
    monkeypatch.setattr(start, "run_on_cluster", lambda folder, *_: train_really(folder))
    with monkeypatch.context() as patch:
        patch.setattr(Pack, "step", step)
        resume(Home(), "s", progress=lambda now: None, means=Means(trust=True))
    assert min(steps) >= 2, "from where they ended"
    resume(Home(), "s", progress=lambda now: None, means=Means(trust=True))
    found, wanted = results(folder), results(whole)
    if pack == 1:
        assert str(found) == str(wanted)
        state = state_of(folder)
        hours = [dict(shared_hours(one)) for one in state.packs.values()]
        assert {trial.name: sum(of.get(trial.name, 0.0) for of in hours) for trial in state.trials.values()} == {
            trial.name: pytest.approx(trial.hours) for trial in state.trials.values()
        }, "each stretch once"
    assert_alike(found, wanted)
    assert Header.read(folder).job == Header.read(whole).job
    assert_none_twice(folder, 6)
    again = next(event for event in events(folder) if isinstance(event, Extended))
    assert again.goes_on == tuple(sorted(again.goes_on)) and len(again.goes_on) == 6


def test_it_goes_on_as_resume_does_and_reports_the_whole(oplstm_home, no_ray):
    folder = new_sweep(oplstm_home / "sweeps" / "s", of("random", 2))
    result = verb("extend", "s", "--trials", 2, "--trust")
    assert result.exit_code == 0, "so many were asked for and none was trained"
    assert "2 complete" in result.stdout
    result = verb("extend", "s", "--trials", 4, "--trust")
    assert (result.exit_code, state_of(folder).counts()) == (0, {"complete": 4})
