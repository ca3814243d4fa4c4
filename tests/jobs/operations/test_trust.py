"""What a sweep's folder may ask for: no code that it brings along, no server that its user never named."""

import contextlib
import hashlib
import json
import sys
import time

import pytest

from jobs.jobfile.reading import load_job
from jobs.jobfile.space_source import SpaceSource, check_working_directory
from jobs.operations import start
from jobs.operations.control import Means, resume
from jobs.operations.doctor import examine, ship
from jobs.operations.start import NewSweep
from jobs.operations.status import all_status
from jobs.operations.trust import check_space, server_of
from jobs.store.header import Header
from jobs.store.home import Home
from jobs.store.servers import KnownServers
from jobs.store.states import SweepKind
from jobs.sweep.coordinator import Coordinator
from oplstm.errors import RequestError
from tests.jobs.formula_training import job, new_sweep, opened, state_of, train_everything
from tests.jobs.headers import rewrite
from tests.jobs.promoting import select

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

PAYLOAD = """
import pathlib
pathlib.Path({!r}).write_text(__name__)
def space(trial):
    return {{"widths": [2], "passes": 1, "meta_batch_size": 2, "lr": trial.suggest_categorical("lr", [0.1, 0.2])}}
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """In a working directory that modules are looked for in, and are forgotten in again."""
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    yield
    for name in set(sys.modules) - before:
        file = str(getattr(sys.modules[name], "__file__", ""))
        if file.startswith(str(tmp_path)) or name.startswith("oplstm-home"):
            del sys.modules[name]


@pytest.fixture
def ran(tmp_path):
    """Exists once a payload ran."""
    return tmp_path / "ran"


def changed(folder, **keys):
    data = json.loads(folder.header.read_text())
    data["job"] |= {name: keys.pop(name) for name in ("space",) if name in keys}
    rewrite(folder, data | keys)


def go_on(name, **options):
    return resume(Home(), name, progress=lambda now: None, means=Means(**options))


@pytest.fixture
def no_ray(monkeypatch):
    """Where a resume would start Ray, it trains by a formula."""

    def trained(folder, *_):
        coordinator = opened(folder)
        train_everything(coordinator)
        coordinator.close(flush_seconds=0)

    monkeypatch.setattr(start, "cluster_and_server", lambda *_, **__: contextlib.nullcontext("uri"))
    monkeypatch.setattr(start, "run_on_cluster", trained)


@pytest.mark.parametrize("place", ["sweeps/evil", "data/cub", ""])
@pytest.mark.parametrize("kind", ["module", "package", "link out", "link in", "package link in"])
def test_no_code_that_lies_among_results_is_run(kind, place, oplstm_home, tmp_path, ran):
    """By the name that the working directory gives it, whatever the header says that it was."""
    folder = new_sweep(oplstm_home / "sweeps" / "evil", job("rates"))
    coordinator = opened(folder)
    coordinator.next_pack()
    coordinator.close(flush_seconds=0)
    there = oplstm_home / place
    there.mkdir(parents=True, exist_ok=True)
    dotted = ".".join(("oplstm-home", *filter(None, place.split("/"))))
    code, own = PAYLOAD.format(str(ran)), tmp_path / "own.py"
    module = there / "payload.py"
    if kind == "module":
        module.write_text(code)
    elif kind == "package":  # the module itself lies outside, and what is recorded of it is so
        (there / "__init__.py").write_text(code)
        own.write_text("space = None")
        module.symlink_to(own)
    elif kind == "link out":
        own.write_text(code)
        module.symlink_to(own)
    elif kind == "link in":
        module.write_text(code)
        own.symlink_to(module)
    else:
        module.write_text(code)
        own = tmp_path / "theirs" / "own.py"
        own.parent.mkdir()
        own.write_text("space = None")
        (own.parent / "__init__.py").symlink_to(module)
        module = own
    name = {"link in": "own:space", "package link in": "theirs.own:space"}.get(kind, f"{dotted}.payload:space")
    real = module.resolve()
    digest = hashlib.sha256(real.read_bytes()).hexdigest()
    changed(folder, space=name, space_source={"path": str(real), "sha256": digest})
    header = Header.read(folder)
    with pytest.raises(RequestError, match=r"which lies in the results folder|is a symbolic link"):
        go_on("evil")
    with pytest.raises(RequestError, match="results are data, and no code of theirs is run"):
        check_space(header, state_of(folder), trust=False)
    all_status(Home())
    examine(Home())
    with pytest.raises(RequestError):
        select(folder)
    (tmp_path / "job.yaml").write_text(json.dumps(header.job.model_dump(mode="json")))
    with pytest.raises(RequestError, match=r"^space: space .*, which lies in the results folder"):
        load_job(str(tmp_path / "job.yaml"))
    with pytest.raises(RequestError, match="which lies in the results folder"):
        NewSweep(header.job, "new", SweepKind.SWEEP, experiment="e").check(Home())
    assert not ran.exists()


@pytest.fixture
def own_space(oplstm_home, tmp_path, ran):
    """A sweep over a space of the user's own, which was killed before its first pack."""
    (tmp_path / "mine.py").write_text(PAYLOAD.format(str(ran)))
    of = job(trials=2).model_copy(update={"space": "mine:space"})
    new = NewSweep(of, "s", SweepKind.SWEEP, experiment="e")
    folder = new.check(Home())
    new.create(folder)
    coordinator = opened(folder)
    coordinator.next_pack()
    coordinator.close(flush_seconds=0)
    ran.unlink()
    del sys.modules["mine"]
    return folder


def test_ones_own_space_is_recorded_and_goes_on(own_space, no_ray, ran, tmp_path):
    assert Header.read(own_space).space_source.path == str(tmp_path / "mine.py")
    go_on("s")
    assert ran.exists()
    assert state_of(own_space).finished


@pytest.mark.parametrize("how", ["changed", "moved", "not recorded"])
def test_a_space_that_is_not_the_recorded_one_needs_trust(how, own_space, no_ray, ran, tmp_path, monkeypatch):
    module = tmp_path / "mine.py"
    if how == "changed":
        module.write_text(module.read_text() + "# a remark\n")
        problem = rf"^{module} was changed since s was made with it; if that is what you want: oplstm resume s --trust$"
    elif how == "moved":
        (tmp_path / "there").mkdir()
        module = module.rename(tmp_path / "there" / "mine.py")
        monkeypatch.syspath_prepend(tmp_path / "there")
        problem = rf"^s was made with {tmp_path}/mine.py, and here its space 'mine:space' is {module}; if that is what"
    else:
        data = json.loads(own_space.header.read_text())
        del data["space_source"], data["measure"], data["digest"]
        own_space.header.write_text(json.dumps(data | {"version": 1}))
        problem = rf"^s does not say which file its space 'mine:space' was; here it is {module}; if that"
    with pytest.raises(RequestError, match=problem):
        go_on("s")
    assert not ran.exists()
    go_on("s", trust=True)
    assert state_of(own_space).finished


def test_of_a_sweep_that_has_ended_it_is_recorded(own_space, no_ray, tmp_path, monkeypatch):
    monkeypatch.setattr("jobs.operations.control._has_report", lambda folder: True)
    go_on("s")
    module = tmp_path / "mine.py"
    module.write_text(module.read_text() + "# a remark\n")
    with pytest.raises(RequestError, match=r"was changed since s was made with it; .*: oplstm resume s --trust$"):
        check_space(Header.read(own_space), state_of(own_space), trust=False)
    assert go_on("s", trust=True).progress is None
    check_space(Header.read(own_space), state_of(own_space), trust=False)
    with pytest.raises(RequestError, match=r"^s has ended; nothing is left to resume$"):
        go_on("s", trust=True)


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "no file of that module is found from|cannot import space 'mine:space': ModuleNotFoundError"),
        ("space = 3", "was changed since|must be a function"),
        ("def other(trial): ...", "was changed since|cannot import space 'mine:space': AttributeError"),
        ("raise KeyError", "was changed since|cannot import space 'mine:space': KeyError"),
        ("def space(trial):\n    return {}", "was changed since|no longer gives trial-0000"),
        (PAYLOAD.replace("0.1, 0.2", "5.0, 6.0").format("/dev/null"), "was changed since|no longer gives trial-0000"),
        (PAYLOAD.replace('"passes": 1', '"passes": 2').format("/dev/null"), "was changed since|now gives another run"),
    ],
)
def test_a_space_that_no_longer_gives_what_it_gave_is_said_in_a_line(text, problem, trust, own_space, no_ray, tmp_path):
    if text is None:
        (tmp_path / "mine.py").unlink()
    else:
        (tmp_path / "mine.py").write_text(text)
    with pytest.raises(RequestError, match=problem) as caught:
        go_on("s", trust=trust)
    assert len(str(caught.value).splitlines()) == 1
    assert trust != ("was changed since" in str(caught.value)) or text is None


def test_who_stands_among_results_starts_no_ray_there(small_sweep, monkeypatch):
    """Ray puts the working directory before all else that its workers import."""
    for path in (small_sweep.path, small_sweep.trials, Home().path):
        monkeypatch.chdir(path)
        with pytest.raises(RequestError, match=r"lies in the results folder .*: call it from elsewhere"):
            check_working_directory()
    monkeypatch.chdir(Home().path.parent)
    check_working_directory()


def test_a_file_of_that_name_makes_no_results_folder(tmp_path):
    (tmp_path / "sweep.json").write_text("{}")
    (tmp_path / "mine.py").write_text("")
    assert SpaceSource.of("mine:space").path == str(tmp_path / "mine.py")
    check_working_directory()


@pytest.fixture
def elsewhere_tracked(oplstm_home):
    folder = new_sweep(oplstm_home / "sweeps" / "s", job("rates", trials=1))
    coordinator = opened(folder)
    coordinator.next_pack()
    coordinator.close(flush_seconds=0)
    changed(folder, tracking_uri="http://evil.example:5000")
    return folder


def test_a_server_that_nobody_named_is_sent_nothing(elsewhere_tracked, monkeypatch):
    for module in ("doctor", "control", "start"):
        monkeypatch.setattr(f"jobs.operations.{module}.tracking_server", lambda *_, **__: pytest.fail("spoken to"))
    for call in (
        lambda: ship(Home(), "s"),
        lambda: ship(Home(), "s", rebuild=True),
        lambda: ship(Home(), "s", uri="http://mine.example:5000"),
        lambda: server_of(Header.read(elsewhere_tracked), None),
    ):
        with pytest.raises(RequestError) as caught:
            call()
        assert str(caught.value) == (
            "s tracks to http://evil.example:5000, which was never named here; if it is a server of yours, add "
            "--tracking-uri http://evil.example:5000"
        )


def test_a_server_that_was_named_is_remembered(elsewhere_tracked):
    header = Header.read(elsewhere_tracked)
    named = "http://user:p%40ss@evil.example:5000"
    assert server_of(header, named) == named
    assert server_of(header, None) == "http://evil.example:5000"
    new = NewSweep(job(), "t", SweepKind.SWEEP, experiment="e", tracking_uri="http://me:secret@mine.example:5000")
    new.create(new.check(Home()))
    assert "http://mine.example:5000" in KnownServers()
    for path in Home().path.parent.rglob("*"):
        assert not path.is_file() or not any(word in path.read_bytes() for word in (b"p%40ss", b"p@ss", b"secret"))


def test_a_home_cannot_bring_its_own_list_of_servers(elsewhere_tracked):
    text = json.dumps({"version": 1, "servers": ["http://evil.example:5000"]})
    for folder in (Home().path, elsewhere_tracked.path):
        (folder / "servers.json").write_text(text)
    with pytest.raises(RequestError, match="was never named here"):
        server_of(Header.read(elsewhere_tracked), None)


def test_a_password_that_an_older_oplstm_stored_is_used_and_not_printed(elsewhere_tracked):
    uri = "http://me:s3cret@evil.example:5000"
    changed(elsewhere_tracked, tracking_uri=uri)
    header = Header.read(elsewhere_tracked)
    with pytest.raises(RequestError) as caught:
        server_of(header, None)
    assert "s3cret" not in str(caught.value)
    assert server_of(header, "http://me:new@evil.example:5000") == "http://me:new@evil.example:5000"
    assert server_of(header, None) == uri


def test_a_password_stands_nowhere_after_a_training(oplstm_home, monkeypatch):
    """Not in the header, the journal, what is said of the server, or anything else in the home."""
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(name, "before")  # they are set by a connection, and are as before after this test
    uri = "http://me:s3cret@127.0.0.1:9"
    new = NewSweep(job(trials=1), "s", SweepKind.SWEEP, experiment="e", tracking_uri=uri)
    folder = new.check(Home())
    new.create(folder)
    coordinator = Coordinator(folder, uri)
    train_everything(coordinator)
    deadline = time.monotonic() + 30
    while not coordinator.progress().tracking_error:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert coordinator.close(flush_seconds=0)
    assert "s3cret" not in str(coordinator.progress())
    for path in Home().path.parent.rglob("*"):
        assert not path.is_file() or b"s3cret" not in path.read_bytes(), path
