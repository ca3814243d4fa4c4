"""The Python door on a real Ray and a real MLflow server, from a thread in which an event loop runs."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from jobs import api
from oplstm.training.checkpoint import load_model
from tests.conftest import ROOT
from tests.jobs.api.test_api import in_a_notebook, of_this_process
from tests.jobs.integration.command_line import TINY
from tracking.server.client import SETTLED
from tracking.server.embedded import Server

pytestmark = pytest.mark.integration


def test_from_a_sweep_to_its_champion(ray_address: str, server: Server, tmp_path, unique: str):
    api.plan(TINY, home=tmp_path)  # what is imported may settle things, once
    home, uri, before = tmp_path / "home", server.uri, of_this_process()
    told = []

    def work():
        swept = api.sweep(TINY, name=unique, trials=2, tracking_uri=uri, home=home, progress=told.append)
        return swept, api.promote(unique, seeds=1, replicates=0, tracking_uri=uri, home=home)

    swept, carried = in_a_notebook(work)
    assert swept.status.state == "complete" and told[-1].fraction == 2.0
    assert list(swept.trials()["state"]) == ["complete"] * 2 and swept.trials()["mlflow_run"].notna().all()
    assert swept.curves().groupby("trial").size().tolist() == [5, 5]
    assert swept.study.best_value == swept.trials()["val/loss"].iloc[0] == swept.status.best
    assert carried.made.picked in set(swept.trials()["trial"])
    final = api.load_sweep(carried.made.final, home=home)
    assert final.result == carried.final.result and len(final.result.test.seed_means) == 1
    x, y = np.array([[-1.0], [0.5], [2.0]]), np.array([[0.1], [0.4], [-0.2]])
    ours = load_model(final.folder.trial("trial-0000")).predict(*(torch.tensor(one).float() for one in (x, y, x)))
    learner = in_a_notebook(lambda: api.champion(unique, tracking_uri=uri, home=home))
    np.testing.assert_array_equal(learner.predict(x, y, x), ours.numpy())
    again = in_a_notebook(lambda: api.promote(unique, tracking_uri=uri, home=home, replicates=0))
    assert again.champion == carried.champion
    more = in_a_notebook(lambda: api.promote(unique, again=1, tracking_uri=uri, home=home, replicates=0))
    assert more.final.result.test.seed_means[:1] == carried.final.result.test.seed_means and more.made == carried.made
    assert len(more.final.result.test.seed_means) == 2, "one more joined, and the first is as it was"
    extended = in_a_notebook(lambda: api.extend(unique, trials=3, tracking_uri=uri, home=home))
    assert list(extended.trials()["state"]) == ["complete"] * 3 and extended.job.trials == 3
    after = of_this_process()
    left = {name for name in after["environment"] if name not in before["environment"]}
    assert not {*SETTLED, "CUBLAS_WORKSPACE_CONFIG"} & left
    for one in (before, after):  # packages that are imported for the first time add filters and variables of their own
        one.pop("filters")
        one["environment"] = {name: value for name, value in one["environment"].items() if name not in left}
    assert after == before


def test_the_notebook_runs(server: Server, tmp_path):
    """Its cells in their order in a new process; a cell's last line is shown, and so evaluated."""
    cells = json.loads((ROOT / "docs" / "notebooks" / "training.ipynb").read_text())["cells"]
    program = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    environment = os.environ | {"MLFLOW_TRACKING_URI": server.uri, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", program + "\nprint(trained.status.state, len(trained.curves()))"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "complete 5\n"), done.stderr
    assert all(not cell.get("outputs") for cell in cells)
