"""The Python door without servers: jobs as data, homes side by side, models, and a process that stays as it was."""

import asyncio
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings

import matplotlib
import numpy as np
import pytest
import torch

from jobs import api
from jobs.jobfile.reading import load_job
from jobs.operations.running import Outcome
from jobs.store.home import SweepFolder
from oplstm.errors import RequestError
from oplstm.training.checkpoint import load_model, load_test_scores
from tests.conftest import ROOT
from tests.jobs.formula_training import finish, stopped_in_its_first_pack
from tests.jobs.headers import rewrite

SINE = {
    "learner": "lstm",
    "benchmark": {"name": "sine"},
    "fixed": {"widths": [2], "passes": 1, "lr": 0.01, "meta_batch_size": 2},
    "budget": {"updates": 2, "validate_every": 1, "validation_tasks": 4, "test_tasks": 4},
}


def of_this_process():
    """All that a notebook shares with what it calls."""
    levels = {name: logging.getLogger(name).level for name in ("", "optuna", "mlflow", "ray", "matplotlib")}
    return {
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "levels": levels,
        "handlers": {number: signal.getsignal(number) for number in signal.valid_signals()},
        "backend": matplotlib.rcParams["backend"],
        "torch": (torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled()),
        "random": (torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()),
        "filters": list(warnings.filters),
        "hooks": (sys.excepthook, sys.unraisablehook, sys.stdout, sys.stderr),
    }


def in_a_notebook(work):
    """Do work in a thread that is not the main one and in which an event loop runs, as cells may be."""
    answer = []

    async def cell():
        try:
            answer.append(work())
        except BaseException as error:
            answer.append(error)

    thread = threading.Thread(target=lambda: asyncio.run(cell()))
    thread.start()
    thread.join()
    if isinstance(answer[0], BaseException):
        raise answer[0]
    return answer[0]


@pytest.mark.slow
def test_a_job_is_a_file_a_name_or_data(tmp_path):
    from jobs.api.asked import job_of

    job, stem = job_of("demo", {"budget.tasks": 9000, "lr": 1e-5}, trials=3)
    assert (stem, job.budget["tasks"], job.fixed["lr"], job.trials) == ("demo", 9000, 1e-5, 3)
    assert job_of(load_job("demo"), {}) == (load_job("demo"), None)
    data = dict(SINE)
    assert job_of(data, {"widths": [3, 3]})[0].fixed["widths"] == [3, 3]
    assert data == SINE
    with pytest.raises(RequestError, match=r"budget\.updates.*--set"):
        job_of(SINE, {"budget.updates": -1})
    with pytest.raises(RequestError, match="plain values"):
        job_of(SINE | {"seed": object()}, {})


def test_a_plan_in_a_notebook_leaves_the_process_as_it_was(tmp_path, capfd):
    api.plan(SINE, home=tmp_path)  # what is imported may settle things, once
    before = of_this_process()
    made = in_a_notebook(lambda: api.plan(SINE, home=tmp_path))
    assert made.trials == 1
    assert of_this_process() == before
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_sweep_is_looked_at(small_sweep, tmp_path):
    small = api.load_sweep("small", home=small_sweep.home)
    assert (small.name, small.status.state, small.job.learner, small.result) == ("small", "complete", "lstm", None)
    trials = small.trials()
    assert trials["trial"].iloc[0] == small.status.leader
    assert set(small.curves()["trial"]) == set(trials["trial"])
    with pytest.raises(RequestError, match="no sweep named 'small'"):
        api.load_sweep("small", home=tmp_path / "another")
    assert [one.name for one in api.status(home=small_sweep.home)] == ["small"]


@pytest.mark.slow
def test_a_trial_predicts_as_its_learner_does(small_sweep):
    name = api.load_sweep("small", home=small_sweep.home).status.leader
    model = api.load_model(f"small/{name}", home=small_sweep.home)
    x, y = np.linspace(-1, 1, 5)[:, None], np.ones((5, 1))
    ours = load_model(small_sweep.trial(name)).predict(*(torch.tensor(one).float() for one in (x, y, x)))
    found = model.predict(x, y, x)
    assert isinstance(found, np.ndarray) and found.dtype == np.float32
    np.testing.assert_array_equal(found, ours.numpy())
    assert torch.equal(model.predict(x, y, torch.tensor(x)), ours)
    with pytest.raises(ValueError, match="query_x must have the shape"):
        model.predict(x, y, x[:, 0])
    assert api.evaluate(f"small/{name}", tasks=4, home=small_sweep.home).tasks == 4


@pytest.mark.slow
def test_a_training_has_a_result_too(small_sweep):
    """The header of a copy says that the trials are a training's seeds."""
    there = shutil.copytree(small_sweep.path, small_sweep.path.with_name("trained"))
    data = json.loads((there / "sweep.json").read_text()) | {"name": "trained", "id": "another", "place": None}
    rewrite(SweepFolder(there), data | {"kind": "train"})
    result = api.load_sweep("trained", home=small_sweep.home).result
    means = [float(load_test_scores(small_sweep.trial(f"trial-000{n}"))["loss"].mean()) for n in range(3)]
    assert result.test.seed_means == pytest.approx(means)


@pytest.mark.usefixtures("no_waiting_for_the_disk")
def test_what_a_sweep_is_asked_for_while_it_rests_takes_effect_when_it_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("jobs.operations.trust.check_space", lambda header, state, *, trust: None)
    folder = stopped_in_its_first_pack(tmp_path / "sweeps" / "s")
    asked = [
        api.prune("s", "trial-0000", home=tmp_path),
        api.add("s", {"lr": 0.0123}, like="trial-0000", home=tmp_path),
        api.limit("s", 1, home=tmp_path),
        api.limit("s", None, home=tmp_path),
    ]
    assert {(one.name, one.taken_up) for one in asked} == {("s", False)}
    with pytest.raises(RequestError, match="begins with the weights of the trial"):
        api.add("s", {"lr": 0.0123}, warm_start=True, home=tmp_path)
    assert asked[0].said == "asked; s is not running: oplstm resume s takes it up"
    state = finish(folder)
    assert (state.trials[0].state, state.live.limit, state.live.added) == ("pruned", None, 1)
    added = [(trial.params["lr"], trial.added.like) for trial in state.trials.values() if trial.added]
    assert added == [(0.0123, "trial-0000")]
    wrong = [
        (lambda: api.limit("s", 0, home=tmp_path), "concurrent must be >= 1, or None for no limit, got 0"),
        (lambda: api.add("s", {"lr": object()}, home=tmp_path), "values must be plain"),
        (lambda: api.prune("s", "trial-0001", home=tmp_path), "s has ended"),
    ]
    for call, said in wrong:
        with pytest.raises(RequestError, match=said):
            call()


def test_arguments_are_those_of_the_verbs(small_sweep, monkeypatch):
    """Of a promotion and of an extension, whose work the integration tests do."""
    told = {}
    monkeypatch.setattr("jobs.operations.promoting.carry", lambda home, of, **rest: told.update(rest, of=of))
    picked = api.load_sweep("small", home=small_sweep.home).trials()["trial"].iloc[-1]
    api.promote("small", trial=picked, again=2, seeds=4, champion=True, home=small_sweep.home)
    assert (told["of"].chosen, told["again"], told["seeds"], told["crown"]) == (picked, 2, 4, True)
    assert told["of"].asked is None, "no more seeds of the leaders"

    def extend(home, name, *, trials, budget, means, **_):
        told.update(name=name, trials=trials, budget=budget, means=means)
        return Outcome(home.sweep(name), None, 0)

    monkeypatch.setattr("jobs.operations.extend.extend", extend)
    swept = api.extend("small", trials=7, budget=9, trust=True, ray_address="host:1", home=small_sweep.home)
    assert (told["name"], told["trials"], told["budget"], swept.name) == ("small", 7, 9, "small")
    assert (told["means"].ray_address, told["means"].trust) == ("host:1", True)


def test_what_is_wrong_is_raised_and_nothing_started(tmp_path):
    with pytest.raises(RequestError, match="has no name"):
        api.train(SINE, home=tmp_path)
    with pytest.raises(RequestError, match="no space to sweep"):
        api.sweep(SINE, name="none", home=tmp_path)
    with pytest.raises(RequestError, match="no sweep named"):
        api.resume("nobody", home=tmp_path)
    with pytest.raises(RequestError, match="no sweep named"):
        api.promote("nobody", home=tmp_path)
    with pytest.raises(RequestError, match="no sweep named"):
        api.stop("nobody", home=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_door_opens_without_what_is_heavy():
    heavy = {"torch", "ray", "mlflow", "optuna", "pandas"}
    code = f"import sys; from jobs import api; print(sorted({heavy} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
