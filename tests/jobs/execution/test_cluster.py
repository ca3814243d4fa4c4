"""Ray's address and what its nodes have, without a Ray."""

import socket
import time

import pytest

from jobs.execution import cluster
from jobs.jobfile.sections import Resources
from oplstm.errors import RequestError


@pytest.mark.parametrize(
    "address",
    ["", "nonsense", "127.0.0.1", "host:port", ":6379", "127.0.0.1:99999", "127.0.0.1:0", "[::1", "http://h:1"],
)
def test_an_address_is_host_and_port(address):
    with pytest.raises(RequestError) as caught:
        cluster.check_answers(address)
    assert str(caught.value) == f"--ray-address must be host:port, got {address!r}"


def test_ray_client_addresses_are_explained():
    with pytest.raises(RequestError, match=r"must be host:port of the head node, got 'ray://127.0.0.1:10001'"):
        cluster.check_answers("ray://127.0.0.1:10001")


def test_no_address_is_a_local_ray():
    cluster.check_answers(None)


def test_where_nothing_listens_no_cluster_answers():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        port = taken.getsockname()[1]
        started = time.monotonic()
        with pytest.raises(RequestError, match=f"no Ray cluster answers at 127.0.0.1:{port}: .*; start one with 'ray"):
            cluster.check_answers(f"127.0.0.1:{port}")
    assert time.monotonic() - started < 5


@pytest.mark.slow
def test_a_cluster_that_does_not_answer_in_time_is_not_called_unhealthy(monkeypatch):
    monkeypatch.setattr(cluster, "HEALTH_SECONDS", 0.2)  # less than it takes to ask
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(
            RequestError, match=f"^what listens at {address} gave no answer in 0.2 s: a Ray cluster that"
        ):
            cluster.check_answers(address)


def node(cpus, gpus=0, alive=True):
    resources = {"CPU": float(cpus), "memory": 1.0, **({"GPU": float(gpus)} if gpus else {})}
    return {"Alive": alive, "Resources": resources}


@pytest.mark.parametrize(
    ("nodes", "asked", "fits"),
    [
        ([node(2)], Resources(cpus=2), True),
        ([node(2)], Resources(cpus=3), False),
        ([node(2), node(2)], Resources(cpus=3), False),
        ([node(2), node(4)], Resources(cpus=3), True),
        ([node(2), node(4, alive=False)], Resources(cpus=3), False),
        ([node(2)], Resources(gpus=0.25), False),
        ([node(2, gpus=1)], Resources(gpus=0.25), True),
        ([node(2, gpus=1), node(2, gpus=1)], Resources(gpus=2), False),
        ([node(1, gpus=2), node(4)], Resources(cpus=2, gpus=1), False),
        ([], Resources(), False),
    ],
)
def test_some_one_node_must_hold_a_pack(nodes, asked, fits, monkeypatch):
    monkeypatch.setattr(cluster.ray, "nodes", lambda: nodes)
    if fits:
        cluster.check_resources(asked)
        return
    with pytest.raises(RequestError) as caught:
        cluster.check_resources(asked)
    cpus = max((int(n["Resources"]["CPU"]) for n in nodes if n["Alive"]), default=0)
    assert f"a pack asks for {asked.cpus} CPUs and {asked.gpus:g} GPUs" in str(caught.value)
    assert f"the largest node of the cluster has {cpus} CPUs" in str(caught.value)


@pytest.mark.parametrize(
    ("nodes", "asked", "slots"),
    [
        ([node(5)], Resources(cpus=2), 2),
        ([node(3), node(3)], Resources(cpus=2), 2),
        ([node(8, gpus=1)], Resources(gpus=0.5), 2),
        ([node(64, gpus=1)], Resources(gpus=1 / 49), 49),
        ([node(8, gpus=2)], Resources(gpus=0.6), 2),
        ([node(8, gpus=3)], Resources(gpus=2), 1),
        ([node(1, gpus=2)], Resources(gpus=0.5), 1),
        ([node(8)], Resources(gpus=0.5), 0),
    ],
)
def test_how_many_packs_fit_at_once(nodes, asked, slots, monkeypatch):
    monkeypatch.setattr(cluster.ray, "nodes", lambda: nodes)
    assert cluster.pack_slots(asked) == slots
