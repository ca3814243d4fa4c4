"""One real MLflow server for all tests, and plain REST calls to look into it."""

import json
import os
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.tracking.session_server import session_server
from tracking.server.embedded import Server


@dataclass(frozen=True)
class Rest:
    """Reads MLflow's REST API with no MLflow code in between.

    Attributes:
        uri: Of the server.
        headers: That every call brings along.
    """

    uri: str
    headers: Mapping[str, str] = field(default_factory=dict)

    def post(self, endpoint: str, **body: Any) -> dict[str, Any]:
        request = urllib.request.Request(
            f"{self.uri}/api/2.0/mlflow/{endpoint}",
            json.dumps(body).encode(),
            {"Content-Type": "application/json", **self.headers},
        )
        return json.load(urllib.request.urlopen(request, timeout=30))

    def get(self, endpoint: str, **query: Any) -> dict[str, Any]:
        url = f"{self.uri}/api/2.0/mlflow/{endpoint}?{urllib.parse.urlencode(query)}"
        return json.load(urllib.request.urlopen(urllib.request.Request(url, headers=dict(self.headers)), timeout=30))

    def experiment_id(self, name: str) -> str:
        return self.get("experiments/get-by-name", experiment_name=name)["experiment"]["experiment_id"]

    def runs(self, experiment: str, view: str = "ACTIVE_ONLY") -> dict[str, list[dict[str, Any]]]:
        """Active runs by key, more than one of which for a key is a fault; with the view ALL, deleted ones too."""
        wanted = {"experiment_ids": [self.experiment_id(experiment)], "run_view_type": view}
        reply = self.post("runs/search", **wanted, max_results=1000)
        found: dict[str, list[dict[str, Any]]] = {}
        for run in reply.get("runs", []):
            found.setdefault(texts(run, "tags")["oplstm.key"], []).append(run)
        return found

    def history(self, run: dict[str, Any], metric: str) -> list[tuple[int, Any]]:
        """(step, value) of every stored row, in order of step."""
        reply = self.get("metrics/get-history", run_id=run["info"]["run_id"], metric_key=metric, max_results=25000)
        return sorted((int(row.get("step", 0)), row["value"]) for row in reply.get("metrics", []))

    def artifacts(self, run: dict[str, Any], folder: str = "") -> list[str]:
        reply = self.get("artifacts/list", run_id=run["info"]["run_id"], path=folder)
        return sorted(file["path"] for file in reply.get("files", []))


def texts(run: dict[str, Any], kind: str) -> dict[str, str]:
    """The tags or params of a run as MLflow's REST API returns it."""
    return {entry["key"]: entry["value"] for entry in run["data"].get(kind, [])}


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with session_server(tmp_path_factory) as server:
        yield server


@pytest.fixture(scope="session")
def rest(server: Server) -> Rest:
    return Rest(server.uri)


@pytest.fixture
def unique() -> str:
    """A word that no other test uses, for keys and experiment names."""
    return os.urandom(6).hex()


@pytest.fixture
def journal_path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"
