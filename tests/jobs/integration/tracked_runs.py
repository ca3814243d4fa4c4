"""What MLflow holds of a sweep, fetched over plain HTTP and compared with the journal and with what it should be."""

import io
import math
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image

from oplstm.episodes.split import Split
from oplstm.training.checkpoint import load_model
from tests.jobs.integration.command_line import Oplstm
from tests.tracking.conftest import Rest, texts

STATUS = {"complete": "FINISHED", "pruned": "FINISHED", "diverged": "FAILED", "failed": "FAILED"}

Run = dict[str, Any]


class TrackedSweep:
    """The runs of one sweep, by trial name; one run each, all children of the sweep's own."""

    def __init__(self, rest: Rest, oplstm: Oplstm, name: str, experiment: str) -> None:
        self.rest, self._oplstm, self._name = rest, oplstm, name
        runs = rest.runs(experiment)
        runs = {key: found for key, found in runs.items() if texts(found[0], "tags")["oplstm.sweep"] == name}
        assert {len(found) for found in runs.values()} == {1}, "a key has several runs"
        alone = [run for [run] in runs.values() if "mlflow.parentRunId" not in texts(run, "tags")]
        assert len(alone) == 1, "the sweep has one run of its own"
        self.parent: Run = alone[0]
        self.trials: dict[str, Run] = {
            key.rpartition("/")[2]: run for key, [run] in runs.items() if run is not self.parent
        }
        parents = {texts(run, "tags")["mlflow.parentRunId"] for run in self.trials.values()}
        assert parents <= {self.parent["info"]["run_id"]}

    def check(self) -> None:
        """Every trial of the journal, every point once and at its step, every end, nothing left running."""
        asked = self._oplstm.events(self._name, "asked")
        assert sorted(self.trials) == sorted(f"trial-{event['trial']:04d}" for event in asked)
        assert self.parent["info"]["status"] == "FINISHED"
        ends = {event["trial"]: event for event in self._ends()}
        for name, run in self.trials.items():
            tags = texts(run, "tags")
            assert tags["oplstm.state"] == ends[name]["state"]
            assert run["info"]["status"] == STATUS[ends[name]["state"]]
            assert run["info"]["end_time"] >= run["info"]["start_time"]
            self._check_points(name, run, ends[name])

    def _check_points(self, name: str, run: Run, end: dict[str, Any]) -> None:
        points = [event for event in self._oplstm.events(self._name, "point") if event["trial"] == name]
        steps = [point["update"] for point in points]
        assert steps == expected_steps(texts(run, "params"))[: len(steps)]
        if end["state"] == "complete":
            assert len(steps) == len(expected_steps(texts(run, "params")))
        metrics = {metric for point in points for metric in point["metrics"]}
        assert metrics >= {"val/loss", "val/ci95", "val/best", "tasks_seen"} or end["state"] in ("diverged", "failed")
        for metric in metrics:
            written = [(point["update"], point["metrics"][metric]) for point in points if metric in point["metrics"]]
            assert self.rest.history(run, metric) == written, f"{name} {metric}"
        if end["state"] == "complete":
            for metric in ("test/loss", "test/ci95"):
                assert self.rest.history(run, metric) == [(end["update"], end["metrics"][metric])]
        ends = [event for event in self._ends() if event["trial"] == name]  # one, but for what was trained again
        said = [(event["update"], float(event["state"] == "diverged")) for event in ends]
        assert self.rest.history(run, "diverged") == said

    def _ends(self) -> list[Run]:
        return [event for event in self._oplstm.events(self._name, "ended") if event["state"] in STATUS]

    def download(self, name: str, folder: Path) -> Path:
        """The model of a trial, file by file."""
        folder.mkdir(parents=True)
        for path in self.rest.artifacts(self.trials[name], "model"):
            (folder / Path(path).name).write_bytes(self.artifact(name, path))
        return folder

    def artifact(self, name: str, path: str) -> bytes:
        query = urllib.parse.urlencode({"path": path, "run_uuid": self.trials[name]["info"]["run_id"]})
        request = urllib.request.Request(f"{self.rest.uri}/get-artifact?{query}", headers=dict(self.rest.headers))
        return urllib.request.urlopen(request, timeout=30).read()

    def check_picture(self, name: str) -> None:
        """The learning curve is a picture that shows something."""
        with Image.open(io.BytesIO(self.artifact(name, "learning_curve.png"))) as picture:
            assert picture.format == "PNG"
            assert min(picture.size) >= 300
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 20

    def check_model(self, name: str, folder: Path) -> None:
        """The model that MLflow holds has the scores that MLflow holds."""
        run, model = self.trials[name], load_model(self.download(name, folder))
        params, seed = texts(run, "params"), model.run.evaluation_seed
        assert (str(model.run.seed), str(seed)) == (params["seed"], params["evaluation_seed"])
        for split, metric in ((Split.VALIDATION, "val/best"), (Split.TEST, "test/loss")):
            count = int(params[f"budget.{split.name.lower()}_tasks"])
            losses = model.scores(split, seed=seed, count=count)["loss"]
            _, tracked = self.rest.history(run, metric)[-1]
            assert math.isclose(losses.mean().item(), tracked, rel_tol=1e-6)


def expected_steps(params: dict[str, str]) -> list[int]:
    """Meta-updates at which a run is validated: 0, and the first that reaches each multiple of the interval."""
    unit, batch = ("tasks", int(params["meta_batch_size"])) if params["budget.tasks"] != "None" else ("updates", 1)
    total, every = int(params[f"budget.{unit}"]), int(params["budget.validate_every"])
    steps, done = [0], 0
    for update in range(1, total + batch):
        before, done = done, update * batch
        if before < total and done // every > before // every:
            steps.append(update)
    return steps
