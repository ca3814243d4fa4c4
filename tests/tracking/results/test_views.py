"""Links into the MLflow UI, looked at by a real browser where there is one."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.tracking.conftest import Rest, texts
from tests.tracking.sweep_records import write_sweep
from tracking.outbox.outbox import Outbox
from tracking.results.views import share_sweep_view, sweep_url
from tracking.server.client import connect

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def query(url: str) -> dict[str, str]:
    """The parameters behind the # of a link."""
    return {name: values[0] for name, values in parse_qs(urlsplit(urlsplit(url).fragment).query).items()}


def test_links_need_no_server() -> None:
    url = sweep_url("http://host:5000/", "7", sweep_key="it's", metric="val/best", ascending=False)
    assert url.startswith("http://host:5000/#/experiments/7/runs?")
    assert query(url) == {
        "searchFilter": "tags.`oplstm.sweep` = \"it's\" AND tags.`oplstm.kind` LIKE '%-trial'",
        "orderByKey": "metrics.`val/best`",
        "orderByAsc": "false",
        "workflowType": "machine_learning",
    }


@pytest.fixture(scope="module")
def shipped(rest: Rest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    """A sweep in MLflow: its name, the id of its experiment, and the link to its shared view."""
    path = tmp_path_factory.mktemp("sweep") / "journal.jsonl"
    name = f"looked-at-{path.parent.stat().st_ino}"
    write_sweep(path, name, trials=3, steps=4)
    with Outbox(path, rest.uri) as outbox:
        assert outbox.flush(60) == 0, outbox.last_error
    experiment_id = rest.experiment_id(name)
    url = share_sweep_view(
        connect(rest.uri), rest.uri, experiment_id, sweep_key=name, metric="val/loss", ascending=False
    )
    return name, experiment_id, url


@pytest.mark.integration
def test_the_shared_view_holds_filter_order_and_columns(rest: Rest, shipped: tuple[str, str, str]) -> None:
    name, experiment_id, url = shipped
    stored = rest.get("experiments/get", experiment_id=experiment_id)["experiment"]
    view = json.loads(texts({"data": stored}, "tags")["mlflow.sharedViewState." + query(url)["viewStateShareKey"]])
    assert view["name"] == name, "as the menu of views lists it"
    state = json.loads(view["state"])
    assert [chart["uuid"] for chart in state["compareRunCharts"]][:1] == ["val/loss"]
    assert [section["name"] for section in state["compareRunSections"] if not section["display"]] == ["test"]
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`val/loss`", False)
    assert state["selectedColumns"] == [
        *("metrics.`val/loss`", "metrics.`val/accuracy`", "tags.`oplstm.state`", "params.`lr`", "params.`trial`"),
        *("metrics.`val/ci95`", "metrics.`train/loss`", "metrics.`tasks_seen`"),
    ]
    found = rest.post("runs/search", experiment_ids=[experiment_id], filter=state["searchFilter"])["runs"]
    assert len(found) == 3 and all(texts(run, "tags")["oplstm.sweep"] == name for run in found)


def rendered(url: str, profile: Path) -> str:
    """The page at `url` as the browser has it after its scripts have run."""
    if BROWSER is None:
        pytest.skip("there is no chromium here")
    flags = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    flags += " disable-component-update disable-sync window-size=1600,900 virtual-time-budget=30000 dump-dom"
    command = [BROWSER, *(f"--{flag}" for flag in flags.split()), f"--user-data-dir={profile}", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.integration
def test_a_browser_shows_the_trials_in_order_with_their_metrics(shipped: tuple[str, str, str], tmp_path: Path) -> None:
    page = rendered(shipped[2], tmp_path)
    assert re.findall(r">(trial-\d{4})</", page) == ["trial-0002", "trial-0001", "trial-0000"]
    headers = re.findall(r'role="columnheader"[^>]* col-id="((?:metrics|params)\.`[^"]*`)"[^>]*left: (\d+)px', page)
    columns = [column for column, _ in sorted(headers, key=lambda header: int(header[1]))]
    assert columns[:3] == ["metrics.`val/loss`", "params.`lr`", "params.`trial`"]
    assert "0.5" in page and "sweep</" not in page


@pytest.mark.integration
def test_a_browser_follows_the_link_that_needs_no_server(
    rest: Rest, shipped: tuple[str, str, str], tmp_path: Path
) -> None:
    name, experiment_id, _ = shipped
    plain = sweep_url(rest.uri, experiment_id, sweep_key=name, metric="val/loss", ascending=True)
    page = rendered(plain, tmp_path / "a")
    assert re.findall(r">(trial-\d{4})</", page) == ["trial-0000", "trial-0001", "trial-0002"]
