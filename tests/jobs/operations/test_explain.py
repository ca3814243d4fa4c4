"""`oplstm explain`: why a trial ended as it did, and the command that trains it alone."""

import json
import math

import optuna
import pytest

from jobs.operations.explain import explain
from jobs.operations.trials import job_of_trial
from jobs.store.home import Home
from jobs.store.states import TrialState
from oplstm.errors import RequestError
from tests.jobs.cli.verbs import answer, run, the_complaint
from tests.jobs.formula_training import finish, job, new_sweep, opened, state_of, train, train_everything, training
from tests.jobs.operations.test_status import without_what_was_asked

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

PRUNER = {"name": "PercentilePruner", "options": {"percentile": 30.0, "n_startup_trials": 2}, "patience": None}


def made(home, name="s", **keys):
    return new_sweep(home / "sweeps" / name, job("rates", **keys))


def test_a_pruned_trial_names_the_rule_the_value_and_what_it_was_held_against(oplstm_home):
    folder = made(oplstm_home, trials=8, pruner=PRUNER)
    coordinator = opened(folder)
    values = iter([0.5, 0.1, 0.3, 0.2, 0.9, 0.4, 0.15, 0.35])
    while (assignment := coordinator.next_pack()) is not None:
        value = next(values)
        train(coordinator, assignment, lambda run, milestone, value=value: value)
    coordinator.close(flush_seconds=0)
    trials = state_of(folder).trials.values()
    pruned = [trial for trial in trials if trial.state is TrialState.PRUNED]
    assert len(pruned) > 2
    study = optuna.load_study(
        study_name="s",
        storage=optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder.study))),
    )
    for trial in pruned:
        found = explain(Home(), "s", trial.name).pruned
        earlier = [other for other in study.trials[: trial.number] if other.state.name == "COMPLETE"]
        limit = optuna.pruners._percentile._get_percentile_intermediate_result_over_trials(
            earlier, study.direction, found.milestone, percentile=30.0, n_min_trials=1
        )
        assert (found.limit, found.value, found.update) == (limit, trial.best, trial.points[-1]["update"])
        assert found.best > found.limit, "or it would not have been pruned"
    words = explain(Home(), "s", pruned[0].name).why
    assert words == (
        "was pruned at update 5 (10 tasks) by PercentilePruner(percentile=30.0, n_startup_trials=2): its value there "
        "is 0.3, its best 0.3, and the limit is 0.22, which parts the best 30 % from the rest of 2 complete trials "
        "there; 1 of 2 other trials that had come so far were better there, the best with 0.1"
    )


def test_other_rules_say_their_name_and_the_place_among_the_others(oplstm_home):
    folder = made(
        oplstm_home, trials=3, pruner={"name": "ThresholdPruner", "options": {"upper": 0.6}, "patience": None}
    )
    coordinator = opened(folder)
    for value in (0.5, 0.4, 0.7):
        train(coordinator, coordinator.next_pack(), lambda run, milestone, value=value: value)
    coordinator.close(flush_seconds=0)
    found = explain(Home(), "s", "2")
    assert (found.pruned.limit, found.pruned.limit_is, found.pruned.better) == (0.6, "its upper threshold", 2)
    assert "ThresholdPruner(upper=0.6): its value there is 0.7" in found.why


def test_what_failed_has_the_end_of_its_traceback_and_how_often_it_was_tried(oplstm_home):
    folder = made(oplstm_home, trials=2)
    coordinator = opened(folder)
    assignment = coordinator.next_pack()
    for line in ("first", "last"):
        coordinator.wait_before(assignment.pack)
        next(training(coordinator, assignment))
        coordinator.tried(assignment.pack, "Traceback\n" + "  frame\n" * 20 + f"ValueError: {line}\n")
    coordinator.pack_failed(assignment.pack, "its process died")
    coordinator.close(flush_seconds=0)
    found = explain(Home(), "s", "trial-0000")
    assert found.why == "failed on every try: ValueError: last"
    assert (len(found.error), found.error[-1]) == (8, "ValueError: last")
    assert found.error_file == str(folder.path / "failures" / "trial-0000" / "error.txt")
    [pack] = found.packs
    assert (pack.pack, pack.runs, pack.begun, pack.retried, pack.resumed) == ("pack-0000", 1, 2, 1, 0)
    [line] = found.log
    assert line.endswith("pack-0000 is tried again in 1 s (2 of 3): ValueError: first")
    shown = run("explain", "s", 0).stdout
    assert "            ValueError: last\n            the whole: /" in shown
    assert "pack        pack-0000, 1 run, on cpu: test, tried again once\n" in shown


def test_what_was_stopped_and_resumed_was_not_tried_again(oplstm_home):
    folder = made(oplstm_home, trials=1)
    coordinator = opened(folder)
    next(training(coordinator, coordinator.next_pack()))
    assert explain(Home(), "s", "0").why == "is being trained"
    coordinator.close(flush_seconds=0)
    assert explain(Home(), "s", "0").why == "was being trained when its sweep died; oplstm resume s goes on with it"
    finish(folder)
    found = explain(Home(), "s", "0")
    assert (found.packs[0].begun, found.packs[0].resumed, found.packs[0].retried) == (2, 1, 0)
    assert found.why.startswith("was trained to the end of its budget: 20 updates, ")


def test_a_divergence_says_where(oplstm_home):
    coordinator = opened(made(oplstm_home, trials=1))
    train(coordinator, coordinator.next_pack(), lambda run, milestone: math.nan if milestone >= 20 else 1.0)
    coordinator.close(flush_seconds=0)
    assert explain(Home(), "s", "0").why == "diverged at update 10"


def test_a_point_of_which_no_run_was_made_has_no_command(oplstm_home):
    folder = new_sweep(oplstm_home / "sweeps" / "s", job("impossible_at_one", sampler={"name": "grid"}, trials=None))
    finish(folder)
    refused = next(trial for trial in state_of(folder).trials.values() if not trial.run)
    found = explain(Home(), "s", refused.name)
    assert (found.command, found.packs) == (None, ())
    assert found.why.startswith("failed: ")
    with pytest.raises(RequestError, match=f"s/{refused.name} has no run to train: failed: "):
        job_of_trial(Home(), "s", refused.name)


def test_the_command_trains_the_same_run(small_sweep):
    """With the trial's seeds, whatever its number; `--set` changes what it says and nothing else."""
    for trial in state_of(small_sweep).trials.values():
        command = answer("explain", "small", trial.name)["command"]
        assert command == f"oplstm train small/{trial.name}"
        alone = job_of_trial(Home(), "small", trial.name)
        folder = new_sweep(small_sweep.home / "sweeps" / f"alone-{trial.number}", alone.job)
        coordinator = opened(folder)
        train_everything(coordinator)
        coordinator.close(flush_seconds=0)
        [again] = state_of(folder).trials.values()
        assert again.config == trial.config
    other = job_of_trial(Home(), "small", "trial-0002", overrides=["lr=0.5"])
    assert (other.job.fixed["lr"], other.job.first_seed, other.job.space) == (0.5, 2, None)
    assert other.name == "small-trial-0002"


def test_who_is_not_there_and_what_is_damaged_is_one_line(small_sweep):
    wanted = "sweep small has no trial 'trial-0007'; oplstm status small shows its trials"
    assert the_complaint("explain", "small", "trial-0007") == wanted
    assert the_complaint("train", "small/trial-0007") == wanted
    assert the_complaint("train", "nobody/trial-0007").startswith("no sweep named 'nobody'")
    small_sweep.journal.write_text(without_what_was_asked(small_sweep.journal.read_text()))
    assert "it names 'trial-000" in the_complaint("explain", "small", 0, code=1)


def test_as_json(small_sweep):
    found = answer("explain", "small", 1)
    assert (found["trial"], found["state"], found["same_seed"]) == ("trial-0001", "complete", True)
    assert json.dumps(found["run"]["benchmark"]).startswith('{"name": "sine"')
    assert found["packs"][0]["runs"] == 2
