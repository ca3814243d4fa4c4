"""What a node of a cluster must have, without a Ray."""

import contextlib
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from jobs.execution import cluster, node_code, nodes
from jobs.execution.nodes import Code, Need, Nodes, Sight, code_here
from jobs.execution.shipped_plugins import ShippedPlugins
from oplstm.episodes.sine import SineTasks
from oplstm.errors import RequestError

VERSIONS = {"oplstm": "1.0", "torch": "2.13.0", "numpy": "2.4.6", "commit": "abc"}
HERE = Code(VERSIONS, {"jobs/a.py": "1", "jobs/b.py": "2"})


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (HERE, None),
        (Code({**VERSIONS, "commit": "other"}, HERE.files), None),
        (Code({**VERSIONS, "oplstm": "not installed", "commit": ""}, {}), "node n has no oplstm: install the same"),
        (
            Code({**VERSIONS, "oplstm": "0.9", "commit": ""}, {"jobs/a.py": "1", "jobs/b.py": "3"}),
            "node n has another oplstm, 0.9, than this machine, 1.0 of commit abc: jobs/b.py differs; install",
        ),
        (Code(VERSIONS, {"jobs/c.py": "3"}), "1.0 of commit abc: jobs/a.py and 2 more files differ; install the same"),
        (
            Code({**VERSIONS, "torch": "2.12.0"}, HERE.files),
            "node n has torch 2.12.0, this machine 2.13.0; install the versions of constraints.txt",
        ),
    ],
)
def test_the_code_of_a_node_is_that_of_this_machine(there, said):
    found = there.problem("n", HERE)
    assert (found is None) if said is None else (said in found)
    assert (there.digest == HERE.digest) == (said is None)


def test_the_code_here_is_every_source_file():
    versions, files = node_code.code_here()
    assert {"jobs/execution/node_code.py", "oplstm/errors.py", "tracking/__init__.py"} <= files.keys()
    assert versions.keys() == VERSIONS.keys()
    assert "+" not in versions["torch"]
    assert code_here() == Code(versions, files)


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (Sight(({"dataset": "sha256:1"},)), None),
        (Sight(("omniglot is not there",)), "node n lacks the data of sine: omniglot is not there"),
        (
            Sight(({"dataset": "sha256:2"},)),
            "node n has other data of sine in /data: dataset sha256:2, here sha256:1; copy the folder there",
        ),
    ],
)
def test_the_data_of_a_node_are_those_of_this_machine(seen, said):
    need = Need(ShippedPlugins(), Path("/data"), (SineTasks(),))
    assert need.problem("n", seen, Sight(({"dataset": "sha256:1"},))) == said


@pytest.fixture
def joining(monkeypatch, tmp_path):
    """A cluster of this machine, which others join; what each answers, and who was asked for its code."""
    alive, answers, asked = ["here"], {}, []
    monkeypatch.setattr(nodes.ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "here"))
    monkeypatch.setattr(
        nodes.ray, "nodes",
        lambda: [{"NodeID": n, "Alive": True, "NodeName": n, "NodeManagerHostname": f"host-{n}"} for n in alive],
    )  # fmt: skip

    def on_each(function, whom, *arguments):
        if function is not nodes.sight:
            asked.extend(whom)
        return {node: answers.get((node, function.__name__)) or function(*arguments) for node in whom}

    monkeypatch.setattr(nodes, "_on_each", on_each)
    return Nodes(Need(ShippedPlugins(), tmp_path / "data", (SineTasks(),))), alive, answers, asked


def test_each_node_is_asked_once_and_those_that_do_not_fit_are_named_together(joining):
    looked, alive, answers, asked = joining
    looked.check()
    assert asked == [], "a machine alone has what it has"
    alive.append("good")
    looked.check()
    looked.check()
    assert asked == ["good"]
    alive += ["bare", "lacks"]
    answers["bare", "code_here"] = (dict.fromkeys(VERSIONS, "not installed"), {})
    answers["lacks", "sight"] = Sight(("cub is not there",))
    with pytest.raises(RequestError) as caught:
        looked.check()
    assert [line.partition(":")[0] for line in caught.value.problems] == [
        "node bare (host-bare) has no oplstm",
        "node lacks (host-lacks) lacks the data of sine",
    ]


def test_who_watches_is_told_of_a_node_that_does_not_fit_and_a_head_that_hangs_holds_nobody(joining, monkeypatch):
    looked, alive, answers, _ = joining
    monkeypatch.setattr(nodes, "WATCH_SECONDS", 0.001)
    with looked.watched(until=lambda: False) as unfit:
        answers["bare", "code_here"] = "node bare cannot run oplstm: no"
        alive.append("bare")
        while not unfit:
            pass
    assert unfit == ["node bare cannot run oplstm: no"]


def test_who_watches_asks_nothing_more_once_the_sweep_is_to_stop(joining, monkeypatch):
    looked, *_ = joining
    monkeypatch.setattr(nodes, "WATCH_SECONDS", 0.001)
    looks, stop = [], threading.Event()
    monkeypatch.setattr(Nodes, "check", lambda self: looks.append(stop.is_set()))
    with looked.watched(until=stop.is_set):
        [thread] = [thread for thread in threading.enumerate() if thread.name == "nodes"]
        while not looks:
            pass
        stop.set()
        thread.join(60)
        assert not thread.is_alive()
    assert looks.count(True) <= 1, "the one that was under way"


@pytest.mark.parametrize(("bytes_", "short"), [(39, True), (40, False), (91, False)])
def test_the_sockets_of_a_local_ray_have_a_short_path_whatever_tmpdir_is(bytes_, short, tmp_path, monkeypatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/" + "t" * (bytes_ - 1))
    found = cluster.short_temporary_folder(tmp_path)
    assert (found is None) == short
    if found is not None:
        assert Path(found).parent == tmp_path
        assert Path(found).stat().st_mode & 0o777 == 0o700


def test_a_folder_for_sockets_that_is_none_of_ours_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", "/" + "t" * 90)
    cluster.short_temporary_folder(tmp_path)
    [folder] = tmp_path.iterdir()
    folder.rmdir()
    folder.symlink_to("/")
    with pytest.raises(RequestError, match=r"is not a folder of this user; set RAY_TMPDIR to a folder with a path of"):
        cluster.short_temporary_folder(tmp_path)
    with contextlib.suppress(OSError):
        folder.unlink()
    with pytest.raises(RequestError, match=r"cannot make .* for the sockets of Ray: No such file"):
        cluster.short_temporary_folder(tmp_path / "nowhere")
