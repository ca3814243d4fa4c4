"""Logical GPUs: fractions fill a device, nothing is oversubscribed, and what is not there is refused at once."""

import pytest

from tests.jobs.integration.command_line import Oplstm
from tests.jobs.integration.conftest import GPUS
from tests.tracking.conftest import Rest, texts
from tracking.server.embedded import Server

pytestmark = pytest.mark.integration


def test_two_packs_share_a_gpu_and_no_more(oplstm: Oplstm, ray_address: str, server: Server, rest: Rest, unique: str):
    halves = {"gpus": 0.5, "pack": 1}
    job = oplstm.job(unique, trials=5, resources=halves, budget={"tasks": 8000, "validate_every": 4000})
    oplstm.here("sweep", job, "--name", "halves", "--tracking-uri", server.uri).ok()

    spans = busy_spans(oplstm, "halves")
    assert len(spans) == 5
    assert {gpu for gpu, _, _ in spans} == {"0", "1"}
    sharing = {gpu: most_at_once(span for span in spans if span[0] == gpu) for gpu in "01"}
    assert max(sharing.values()) == 2, "nothing shared a GPU"
    assert most_at_once(spans) <= 2 * GPUS
    trials = [run for [run] in rest.runs(unique).values() if "mlflow.parentRunId" in texts(run, "tags")]
    assert sorted(texts(run, "tags")["oplstm.gpu_ids"] for run in trials) == sorted(gpu for gpu, _, _ in spans)


def busy_spans(oplstm: Oplstm, name: str) -> list[tuple[str, float, float]]:
    """(GPU, start, end) of every pack, from the journal."""
    ends = {record["trial"]: record["time"] for record in oplstm.events(name, "ended")}
    packs = {record["pack"]: record["trials"] for record in oplstm.events(name, "packed")}
    return [
        (record["device"]["oplstm.gpu_ids"], record["time"], max(ends[trial] for trial in packs[record["pack"]]))
        for record in oplstm.events(name, "started")
    ]


def most_at_once(spans) -> int:
    edges = sorted(edge for _, start, end in spans for edge in ((start, 1), (end, -1)))
    running = [0]
    for _, step in edges:
        running.append(running[-1] + step)
    return max(running)


def test_more_gpus_than_there_are_is_refused_at_once(oplstm: Oplstm, ray_address: str, server: Server, unique: str):
    done = oplstm.here("sweep", oplstm.job(unique, resources={"gpus": 3}), "--name", "x", "--tracking-uri", server.uri)
    assert done.code == 2
    [line] = done.err.strip().splitlines()[-1:]
    assert "3 GPUs" in line
    assert f"{GPUS} GPUs" in line
    assert not oplstm.sweep("x").path.exists()
