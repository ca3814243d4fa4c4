"""Promotion picks by meta-validation, on fresh tasks, among what is statistically tied, and cannot see a test score."""

import ast
import inspect
import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from jobs.operations.promote import Promotion
from jobs.promotion import selection
from jobs.promotion.seeds import SeedVariance
from jobs.promotion.selection import block_seed, choose, configurations, rescore_with
from jobs.promotion.standing import Configuration
from jobs.store.events import Ended, encode
from jobs.store.home import Home
from jobs.store.names import trial_name
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from oplstm.episodes.measure import LOSS
from oplstm.episodes.split import Split
from oplstm.errors import RequestError, WorkError
from tests.jobs.formula_training import events, state_of
from tests.jobs.headers import rewrite
from tests.jobs.promoting import select
from tests.journal_lines import groups_in, resealed
from tests.oplstm.training.damage import flip, reseal, truncate
from tracking.journal.journal import Journal

A, B = Split.PROMOTION_A, Split.PROMOTION_B
HARD = np.random.default_rng(0).gamma(2.0, 1.0, 200)  # what the tasks have in common


def candidate(number, shift, noise=0.05, replicates=0):
    rng = np.random.default_rng(100 + number)
    names = tuple(trial_name(number, one) for one in range(1 + replicates))
    return Configuration(names, HARD + shift + rng.normal(0, noise, (len(names), HARD.size)))


class Blocks:
    """Gives each run a mean on each block, and remembers what was asked."""

    def __init__(self, **means):
        self.means, self.asked = means, []

    def __call__(self, name, split):
        self.asked.append((name, split))
        mean = self.means[name.removeprefix("trial-000")] if split is A else 7.0
        return np.full(4, mean) + np.array([-1, 1, -1, 1]) * 0.01


def rescores(**means):
    return Blocks(**{name.removeprefix("t"): value for name, value in means.items()})


def test_block_a_picks_among_the_tied_and_block_b_is_reported():
    found = [candidate(0, 0.0), candidate(1, 0.001), candidate(2, 0.002), candidate(3, 0.5)]
    blocks = rescores(t0=0.5, t1=0.3, t2=0.4, t3=0.0)
    choice = choose(found, blocks, LOSS, leaders=5)
    assert choice.picked == "trial-0001"
    assert [leader.name for leader in choice.leaders] == ["trial-0000", "trial-0001", "trial-0002"]
    assert blocks.asked == [("trial-0000", A), ("trial-0001", A), ("trial-0002", A), ("trial-0001", B)]
    assert choice.score_b.mean == pytest.approx(7.0)
    assert all(leader.standing.weights_tied for leader in choice.leaders)
    assert choice.leaders[1].standing.behind.mean == 0


def test_what_is_clearly_behind_is_not_even_rescored():
    found = [candidate(0, 0.0), candidate(1, 0.5)]
    blocks = rescores(t0=9.0, t1=0.0)
    assert choose(found, blocks, LOSS, leaders=5).picked == "trial-0000"
    assert [name for name, _ in blocks.asked] == ["trial-0000", "trial-0000"]


def test_no_more_than_the_leaders_are_rescored():
    found = [candidate(number, 0.0) for number in range(6)]
    blocks = rescores(**{f"t{number}": 6.0 - number for number in range(6)})
    choice = choose(found, blocks, LOSS, leaders=3)
    assert len(choice.leaders) == 3
    assert choice.picked == "trial-0002"
    assert choose(found, rescores(t0=1.0), LOSS, leaders=1).picked == "trial-0000"


def test_of_equals_the_best_validation_is_picked():
    found = [candidate(0, 0.0), candidate(1, 0.001)]
    assert choose(found, rescores(t0=0.4, t1=0.4), LOSS, leaders=5).picked == "trial-0000"


def test_a_score_that_is_not_a_number_never_wins():
    found = [candidate(0, 0.0), candidate(1, 0.001)]
    assert choose(found, rescores(t0=math.nan, t1=5.0), LOSS, leaders=5).picked == "trial-0001"
    assert choose(found, rescores(t0=5.0, t1=math.nan), LOSS, leaders=5).picked == "trial-0000"


def test_a_single_validation_task_ties_everything():
    found = [Configuration((trial_name(n),), np.array([[value]])) for n, value in enumerate((0.1, 0.9))]
    choice = choose(found, rescores(t0=0.5, t1=0.2), LOSS, leaders=5)
    assert choice.picked == "trial-0001"
    json.dumps(encode(choice.event()), allow_nan=False)


def test_a_difference_is_judged_on_common_tasks():
    """Twenty times smaller than the spread over tasks, and yet certain, because the tasks are the same."""
    found = [candidate(0, 0.0, noise=0.01), candidate(1, 0.05, noise=0.01)]
    assert len(choose(found, rescores(t0=1.0), LOSS, leaders=5).leaders) == 1


def test_the_choice_as_an_event():
    found = [candidate(0, 0.0), candidate(1, 0.001)]
    choice = choose(found, rescores(t0=0.5, t1=0.3), LOSS, leaders=5)
    event = choice.event()
    assert (event.picked, event.score_b) == ("trial-0001", choice.score_b.stated())
    assert [leader.trial for leader in event.leaders] == ["trial-0000", "trial-0001"]
    for told, leader in zip(event.leaders, choice.leaders, strict=True):
        standing = leader.standing
        intervals = (standing.score.stated(), standing.behind.stated(), leader.score_a.stated())
        assert (told.validation, told.behind, told.score_a) == intervals
        assert told.tied is standing.weights_tied
    assert event.leaders[1].score_a.mean == pytest.approx(0.3)
    assert event.leaders[1].seeds == (event.leaders[1].score_a.mean,)
    assert (event.tied, event.forecast, event.seed_variance) == (None, None, None), "one seed of each says nothing"
    made = choice.event(registered="demo:3", final="demo-final")
    assert (made.registered, made.final) == ("demo:3", "demo-final")


def test_with_replicates_the_mean_over_seeds_picks_and_seeds_decide_what_is_tied():
    found = [candidate(0, 0.0, replicates=2), candidate(1, 0.02, replicates=2), candidate(2, 0.01), candidate(3, 2.0)]
    means = {"0": 0.30, "0-seed-1": 0.50, "0-seed-2": 0.52, "1": 0.40, "1-seed-1": 0.38, "1-seed-2": 0.42}
    blocks = Blocks(**means)
    choice = choose(found, blocks, LOSS, leaders=5)
    assert choice.picked == "trial-0001", "the first is only the luckiest"
    assert [leader.name for leader in choice.leaders] == ["trial-0000", "trial-0001"], "what was replicated"
    assert [name for name, split in blocks.asked if split is B] == list(found[1].runs)
    assert choice.leaders[0].seeds == pytest.approx([0.30, 0.50, 0.52])
    assert choice.leaders[1].score_a.mean == pytest.approx(0.40)
    assert choice.spread.source == "replicates"
    assert choice.tied == ("trial-0000", "trial-0001", "trial-0002"), "those beyond the leaders too"
    assert len(choice.standings) == 4
    assert choice.forecast.mean == pytest.approx(0.45, abs=0.06)
    event = choice.event()
    assert event.tied == choice.tied
    assert event.seed_variance.variance == float(choice.spread.variance)


def test_without_replicates_the_seeds_of_earlier_sweeps_count():
    found = [candidate(0, 0.0), candidate(1, 0.02), candidate(2, 2.0)]
    earlier = SeedVariance(np.asarray(0.25), np.asarray(9.0), "earlier sweeps")
    choice = choose(found, rescores(t0=0.5, t1=0.3), LOSS, leaders=5, earlier=earlier)
    assert (choice.spread, choice.forecast) == (earlier, None)
    assert choice.tied == ("trial-0000", "trial-0001")
    assert choose(found, rescores(t0=0.5, t1=0.3), LOSS, leaders=5).tied is None


def test_blocks_are_fresh_in_each_sweep_for_other_runs_and_after_a_promotion():
    found = [candidate(0, 0.0), candidate(1, 0.0)]
    seeds = {
        block_seed("a", found, 0),
        block_seed("b", found, 0),
        block_seed("a", found, 1),
        block_seed("a", found[:1], 0),
    }
    assert len(seeds) == 4
    assert block_seed("a", [found[0], candidate(1, 0.0, replicates=1)], 0) in seeds, "the same in every round of a race"
    assert block_seed("a", found[::-1], 0) in seeds
    assert all(0 <= seed < 2**63 for seed in seeds)


def at_the_end(folder, metric):
    """A metric of every trial, as its end told it."""
    return {event.trial: event.metrics[metric] for event in events(folder) if isinstance(event, Ended)}


def test_candidates_are_the_completed_trials_best_validation_first(small_sweep):
    state = state_of(small_sweep)
    found = configurations(small_sweep, state, LOSS)
    means = at_the_end(small_sweep, "val/best")
    assert [candidate.name for candidate in found] == sorted(means, key=means.get)
    for candidate_ in found:
        assert candidate_.values.shape == (1, 30)
        assert candidate_.values.mean() == pytest.approx(means[candidate_.name], rel=1e-12)
    state.by_name[found[0].name].state = TrialState.PRUNED
    assert [candidate.name for candidate in configurations(small_sweep, state, LOSS)] == [c.name for c in found[1:]]


def test_a_sweep_without_a_completed_trial_is_refused(small_sweep):
    with pytest.raises(RequestError, match="small has no completed trial to promote; see oplstm status small"):
        configurations(small_sweep, SweepState(LOSS), LOSS)


def test_rescoring_is_on_fresh_tasks_of_the_sweeps_seed(small_sweep):
    rescore = rescore_with(small_sweep, LOSS, seed=0, tasks=40)
    blocks = {split: rescore("trial-0000", split) for split in (A, B)}
    assert blocks[A].shape == blocks[B].shape == (40,)
    common = load_file(small_sweep.trials / "trial-0000" / "validation.safetensors")["values"].numpy()
    assert not set(blocks[A]) & set(blocks[B])
    assert not (set(blocks[A]) | set(blocks[B])) & set(common)
    assert (rescore("trial-0000", A) == blocks[A]).all()
    assert (rescore_with(small_sweep, LOSS, seed=1, tasks=40)("trial-0000", A) != blocks[A]).all()


def with_other_test_values(folder, garbage):
    """Test files and test metrics of every trial replaced."""
    for number, trial in enumerate(sorted(folder.trials.iterdir())):
        if garbage:
            (trial / "test.safetensors").write_bytes(b"no tensors at all")
        else:
            save_file({"loss": torch.full((20,), 1e-9 * number, dtype=torch.float64)}, trial / "test.safetensors")
    records = list(Journal.read(folder.journal))
    for number, record in enumerate(records):
        metrics = record.get("metrics", {})
        metrics |= {name: -1.0 * number for name in metrics if name.startswith("test/")}
    folder.journal.unlink()
    with Journal(folder.journal) as journal:
        journal.append(records)


@pytest.mark.parametrize("garbage", [False, True])
def test_altering_stored_test_values_never_changes_what_is_picked(garbage, small_sweep):
    before = select(small_sweep)
    assert at_the_end(small_sweep, "test/loss")[before.picked] > 0
    with_other_test_values(small_sweep, garbage)
    assert at_the_end(small_sweep, "test/loss")[before.picked] < 0
    assert select(small_sweep) == before
    for trial in small_sweep.trials.iterdir():
        (trial / "test.safetensors").unlink()
    assert select(small_sweep) == before


def test_altering_validation_values_does_change_it(small_sweep):
    """The test above can fail: the same alteration of validation losses changes the choice."""
    before = select(small_sweep)
    for trial in small_sweep.trials.iterdir():
        losses = load_file(trial / "validation.safetensors")["values"]
        better = losses * 0 if trial.name != before.picked else losses + 100
        save_file({"values": better}, trial / "validation.safetensors")
        reseal(trial)
    assert select(small_sweep).picked != before.picked


def test_the_selecting_code_has_no_way_to_a_test_score():
    tree = ast.parse(inspect.getsource(selection))
    imported = {
        f"{node.module}.{name.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for name in node.names
        if str(node.module).startswith(("oplstm", "jobs"))
    }
    assert not {name for name in imported if "scores" in name or "test" in name.rpartition(".")[2]}
    assert {name for name in imported if name.startswith("oplstm.training")} == {
        "oplstm.training.checkpoint.load_model",
        "oplstm.training.checkpoint.load_validation_values",
        "oplstm.training.device.Device",
    }
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    assert not used & {"metrics", "TEST", "FINAL_TEST", "test_scores", "load_test_scores"}
    assert used & {"PROMOTION_A"}


def test_a_chosen_trial_is_picked_and_the_others_stand_as_they_do():
    found = [candidate(0, 0.0), candidate(1, 0.001), candidate(2, 0.5)]
    blocks = rescores(t0=0.5, t1=0.3, t2=0.9)
    choice = choose(found, blocks, LOSS, leaders=5, chosen="trial-0002")
    assert (choice.picked, choice.instead_of) == ("trial-0002", "trial-0001")
    assert blocks.asked[-1] == ("trial-0002", B)
    assert [leader.name for leader in choice.leaders] == ["trial-0000", "trial-0001", "trial-0002"]
    assert choice.leaders[0].standing.behind.mean == pytest.approx(-0.5, abs=0.05)
    assert choice.event().by_hand
    best = choose(found, rescores(t0=0.5, t1=0.3), LOSS, leaders=5)
    assert (best.instead_of, best.event().by_hand) == (None, False)
    assert best.weights_tied == choice.weights_tied


def ended_as(folder, trial, state):
    """The journal says that a trial ended otherwise."""
    written = folder.journal.read_bytes()
    groups = groups_in(written)
    for record in (record for group in groups for record in group):
        if record.get("event") == "ended" and record["trial"] == trial:
            record["state"] = state
    header = written.splitlines(keepends=True)[0]
    folder.journal.write_bytes(resealed([header, *(json.dumps(group).encode() for group in groups)]))


def test_a_pruned_trial_can_be_chosen_and_one_without_weights_cannot(small_sweep):
    ended_as(small_sweep, "trial-0001", "pruned")
    ended_as(small_sweep, "trial-0002", "diverged")
    assert select(small_sweep).picked == "trial-0000"
    chosen = Promotion.of(small_sweep, chosen="trial-0001")
    choice = chosen.choose(Home(small_sweep.home), chosen.rescorer())
    assert choice.picked == "trial-0001"
    assert {standing.name for standing in choice.standings} == {"trial-0000", "trial-0001"}
    for trial, line in {
        "trial-0002": "trial-0002 of small is diverged; promote takes one that is complete, or that was pruned while",
        "trial-0007": "small has no trial 'trial-0007'; oplstm status small shows its trials",
    }.items():
        with pytest.raises(RequestError, match=line):
            Promotion.of(small_sweep, chosen=trial)


def test_what_was_promoted_by_hand_stands_until_something_ends(small_sweep):
    chosen = Promotion.of(small_sweep, chosen="trial-0002")
    event = chosen.choose(Home(small_sweep.home), chosen.rescorer()).event(final="small-final")
    with Journal(small_sweep.journal) as journal:
        journal.append([encode(event)])
    assert Promotion.of(small_sweep, chosen="trial-0002").made == event
    assert Promotion.of(small_sweep).made == event
    assert Promotion.of(small_sweep, chosen="trial-0001").made is None


def test_the_promotion_settings_of_the_job_are_used(small_sweep):
    header = json.loads(small_sweep.header.read_text())
    for trial in small_sweep.trials.iterdir():
        save_file({"values": torch.from_numpy(HARD[:30])}, trial / "validation.safetensors")
        reseal(trial)
    for leaders in (1, 2, 3):
        header["job"]["promotion"] = {"leaders": leaders, "tasks": 10 * leaders}
        rewrite(small_sweep, header)
        choice = select(small_sweep)
        assert len(choice.leaders) == leaders
        promotion = Promotion.of(small_sweep)
        seed = block_seed(promotion.header.id, configurations(small_sweep, promotion.state, LOSS), 0)
        scores = rescore_with(small_sweep, LOSS, seed=seed, tasks=10 * leaders)(choice.picked, B)
        assert choice.score_b.mean == scores.mean()


def test_only_a_sweep_can_be_promoted(small_sweep):
    data = json.loads(small_sweep.header.read_text()) | {"kind": "final"}
    rewrite(small_sweep, data)
    with pytest.raises(RequestError, match="small is a final run; promote takes a sweep"):
        select(small_sweep)


GARBAGE = {
    "validation.safetensors": [None, b"", b"\xff" * 16, b'\x08\0\0\0\0\0\0\0{"a": 3}'],
    "run.json": [None, b"", b"[]", b"3", b"{}", b'{"version": 1}', b'{"version": 1, "run": {}}', b"[" * 100_000],
    "model.safetensors": [None, b"", b"\xff" * 16],
}


@pytest.mark.parametrize(("file", "content"), [(name, one) for name, many in GARBAGE.items() for one in many])
def test_files_that_are_damaged_are_said_in_a_line(file, content, small_sweep):
    for trial in small_sweep.trials.iterdir():
        (trial / file).unlink()
        if content is not None:
            (trial / file).write_bytes(content)
    with pytest.raises(WorkError) as caught:
        select(small_sweep)
    assert str(caught.value).startswith(f"{small_sweep.trials}/trial-000")
    assert len(str(caught.value).splitlines()) == 1


DAMAGE = {"a flipped bit": lambda path: flip(path, -1, 0), "its end lost": lambda path: truncate(path, -1)}


@pytest.mark.parametrize("file", GARBAGE)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_named_with_its_trial_and_the_mend(file, damage, small_sweep):
    """One that is still safetensors too: the last bit of a weight."""
    picked = select(small_sweep).picked
    path = small_sweep.trial(picked) / file
    DAMAGE[damage](path)
    with pytest.raises(WorkError) as caught:
        select(small_sweep)
    assert str(caught.value).startswith(f"{path} is damaged: ")
    assert str(caught.value).endswith(
        f"; oplstm doctor small --repair puts the files of {picked} back from their copy in MLflow; "
        "if that is lost too, sweep its configuration again (under enqueue)"
    )
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", ["../../../../victim", "/etc", "omniglot/../../x", "Ω", ""])
def test_a_dataset_by_the_name_of_a_path_is_none(name, small_sweep):
    """In the run that a model was trained as."""
    for trial in small_sweep.trials.iterdir():
        data = json.loads((trial / "run.json").read_text())
        data["run"]["benchmark"] = {"name": name}
        (trial / "run.json").write_text(json.dumps(data))
        reseal(trial)
    with pytest.raises(WorkError, match="is damaged: ValueError: benchmark"):
        select(small_sweep)
    for trial in small_sweep.trials.iterdir():
        data["run"]["benchmark"] = {"name": "miniimagenet", "cross_domain": [name]}
        (trial / "run.json").write_text(json.dumps(data))
        reseal(trial)
    with pytest.raises(WorkError, match=r"is damaged: (ValueError|RequestError)"):
        select(small_sweep)
