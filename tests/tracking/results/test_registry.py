"""The Model Registry: what is uploaded is data without pickle, and it is loaded through MLflow's own door."""

import math
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from oplstm.errors import WorkError
from tests.tracking.conftest import Rest
from tracking.registered_model import RegisteredModel
from tracking.results.crowning import VALUE, Validated
from tracking.results.registry import Registration, register_model
from tracking.server.client import connect

TASK = {"support_x": [[1.0], [2.0]], "support_y": [[3.0], [5.0]], "query_x": [[10.0], [20.0], [30.0]]}


class MeanModel:
    """Predicts the query's x plus the mean of the support's y."""

    pack = SimpleNamespace(learner=SimpleNamespace(shape=SimpleNamespace(x=(1,))))

    def predict(self, support_x: Any, support_y: Any, query_x: Any) -> Any:
        assert support_x.shape == support_y.shape == (2, 1)
        return query_x + support_y.mean(0)


def test_predict_takes_lists_arrays_and_frames() -> None:
    model = RegisteredModel(MeanModel())  # type: ignore[arg-type]
    expected = [[14.0], [24.0], [34.0]]
    assert model.predict(TASK) == [expected]
    assert model.predict({name: np.array(value) for name, value in TASK.items()}) == [expected]
    assert model.predict(pd.DataFrame([TASK, TASK])) == [expected, expected]


def test_bad_input_is_named() -> None:
    model = RegisteredModel(MeanModel())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="lacks query_x"):
        model.predict({name: TASK[name] for name in ("support_x", "support_y")})


def worth(value: float, *, higher: bool = False, on: str = "loss: sine") -> Validated:
    return Validated(value, higher, "3 seeds", on)


def registration(
    name: str,
    run_id: str,
    model_dir: Path,
    promotion: str = "a",
    *,
    validated: Validated | None = None,
    **tags: str,
) -> Registration:
    return Registration(
        name=name,
        run_id=run_id,
        model_dir=model_dir,
        description="A learner.",
        tags={"promotion": promotion, **tags},
        replaces="promotion",
        validated=validated or worth(1.0),
    )


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "trial-0007"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0{}      ")
    (folder / "run.json").write_text("{}")
    return folder


@pytest.fixture
def loads_mean_models(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """A model is a `MeanModel`; the folders that were asked for."""
    asked: list[Path] = []
    stand_in = SimpleNamespace(load_model=lambda folder: (asked.append(folder), MeanModel())[1])
    monkeypatch.setitem(sys.modules, "oplstm.training.checkpoint", stand_in)  # type: ignore[arg-type]
    return asked


@pytest.mark.integration
def test_a_run_is_registered_once_and_can_be_loaded(
    rest: Rest,
    unique: str,
    model_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    loads_mean_models: list[Path],
) -> None:
    client = connect(rest.uri)
    experiment_id = client.create_experiment(unique)
    first, second, third = (client.create_run(experiment_id).info.run_id for _ in range(3))

    def register(run_id: str, promotion: str, **tags: str) -> str:
        return register_model(rest.uri, registration(unique, run_id, model_dir, promotion, **tags)).version

    def aliases() -> dict[str, str]:
        found = rest.get("registered-models/get", name=unique)["registered_model"]["aliases"]
        return {one["alias"]: one["version"] for one in found}

    assert register(first, "a", trial="trial-0007") == "1"
    assert register(first, "a", again="yes") == "1"
    assert register(second, "a") == "2"
    assert aliases() == {"champion": "2"}, "a further version of the same promotion"
    assert register(third, "b") == "3"
    assert aliases() == {"champion": "3", "previous": "2"}
    assert register(second, "a") == "2"
    assert aliases() == {"champion": "2", "previous": "3"}
    version = rest.get("model-versions/get", name=unique, version="1")["model_version"]
    assert (version["run_id"], version["status"]) == (first, "READY")
    tags = {tag["key"]: tag["value"] for tag in version["tags"]}
    assert len(tags.pop("oplstm.weights")) == 64
    assert {name: tags.pop(name) for name in worth(1.0).tags()} == worth(1.0).tags()
    assert tags == {"promotion": "a", "trial": "trial-0007", "again": "yes"}

    from mlflow import artifacts, pyfunc

    monkeypatch.setenv("MLFLOW_TRACKING_URI", rest.uri)  # set_tracking_uri would set it for good
    local = Path(artifacts.download_artifacts(f"models:/{unique}@champion"))
    files = sorted(str(path.relative_to(local)) for path in local.rglob("*") if path.is_file())
    assert "data/trial-0007/model.safetensors" in files and "MLmodel" in files
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".pt", ".py"))]
    assert "loader_module: tracking.registered_model" in (local / "MLmodel").read_text()
    assert "pickle" not in (local / "MLmodel").read_text()
    required = (local / "requirements.txt").read_text()
    assert "oplstm" not in required and "oplstm==" not in (local / "conda.yaml").read_text()
    assert all(f"{package}==" in required for package in ("torch", "numpy", "safetensors"))
    assert "PYTHONPATH" in (local / "MLmodel").read_text() and "PYTHONPATH" in version["description"]
    assert version["description"].startswith("A learner.")

    loaded = pyfunc.load_model(f"models:/{unique}@champion")
    assert loaded.predict(TASK) == [[[14.0], [24.0], [34.0]]]
    assert loaded.predict({name: np.array(value) for name, value in TASK.items()}) == [[[14.0], [24.0], [34.0]]]
    assert [spec.name for spec in loaded.metadata.signature.inputs] == ["support_x", "support_y", "query_x"]
    assert (loads_mean_models[-1] / "run.json").read_text() == "{}"


def test_nothing_outside_the_trials_is_registered(tmp_path: Path, model_dir: Path) -> None:
    secret = tmp_path.parent / "secret.txt"
    secret.write_text("hunter2")
    (model_dir / "more.json").symlink_to(secret)
    with pytest.raises(WorkError, match=r"more\.json leads out of"):
        register_model("http://127.0.0.1:1", registration("n", "f" * 32, model_dir))


@pytest.mark.integration
@pytest.mark.usefixtures("loads_mean_models")
def test_failures_are_one_line(rest: Rest, unique: str, model_dir: Path) -> None:
    with pytest.raises(WorkError, match="there is no model at"):
        register_model(rest.uri, registration(unique, "f" * 32, model_dir / "nowhere"))
    with pytest.raises(WorkError, match="did not register") as caught:
        register_model(rest.uri, registration(unique, "f" * 32, model_dir))
    assert "\n" not in str(caught.value)


def test_the_champion_is_replaced_by_what_is_not_worse_and_by_nothing_else() -> None:
    for champion, new, stays in [(0.5, 0.4, False), (0.5, 0.5, False), (0.5, 0.6, True), (0.5, math.nan, True)]:
        assert (worth(new).behind(worth(champion).tags()) is not None) == stays
    assert worth(0.6, higher=True).behind(worth(0.5, higher=True).tags()) is None
    assert worth(0.4, higher=True).behind(worth(0.5, higher=True).tags()) is not None
    assert worth(0.6).behind(worth(math.nan).tags()) is None, "anything is better than nothing"
    told = "its meta-validation is 0.6 (3 seeds), that of the champion 0.5 (3 seeds)"
    assert worth(0.6).behind(worth(0.5).tags()) == told
    other = worth(0.6).behind(worth(0.9, on="loss: sine of 10 shots").tags())
    assert other == "its meta-validation is 0.6 (3 seeds), that of the champion 0.9 (3 seeds), on other tasks"
    for unknown in ({}, {VALUE: "good"}):
        assert (worth(0.6).behind(unknown) or "").endswith("and that of the champion is unknown")


@pytest.mark.integration
@pytest.mark.usefixtures("loads_mean_models")
def test_a_worse_promotion_is_registered_and_is_no_champion(rest: Rest, unique: str, model_dir: Path) -> None:
    client = connect(rest.uri)
    experiment_id = client.create_experiment(unique)
    runs = {name: client.create_run(experiment_id).info.run_id for name in ("good", "toy", "toy's final run")}

    def register(run: str, value: float, promotion: str, *, crown: bool = False) -> tuple[str, str | None]:
        model = registration(unique, runs[run], model_dir, promotion, validated=worth(value))
        made = register_model(rest.uri, model, crown=crown)
        return made.version, made.kept

    def aliases() -> dict[str, str]:
        found = rest.get("registered-models/get", name=unique)["registered_model"]["aliases"]
        return {one["alias"]: one["version"] for one in found}

    assert register("good", 0.25, "a") == ("1", None)
    kept = "its meta-validation is 0.75 (3 seeds), that of the champion 0.25 (3 seeds)"
    assert register("toy", 0.75, "b") == ("2", f"{unique}:2 is registered, and {unique}:1 stays the champion: {kept}")
    assert aliases() == {"champion": "1"}
    assert register("good", 0.8, "a") == ("1", None), "what goes on with a promotion keeps its place"
    assert register("good", 0.25, "a") == ("1", None)
    assert register("toy", 0.75, "b", crown=True) == ("2", None)
    assert aliases() == {"champion": "2", "previous": "1"}
    assert register("toy's final run", 0.8, "b") == ("3", None)
    assert aliases() == {"champion": "3", "previous": "1"}
    assert register("good", 0.25, "a") == ("1", None)
    assert aliases() == {"champion": "1", "previous": "3"}
