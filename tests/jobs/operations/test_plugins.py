"""Plug-ins: recorded with a sweep, found again, and run only where their user has named them."""

import json
import pickle
import shutil
import sys

import pytest

from jobs.execution.shipped_plugins import ShippedPlugins
from jobs.jobfile.plugins import load_plugin
from jobs.jobfile.reading import parse_job
from jobs.operations import control
from jobs.operations.promote import Promotion
from jobs.operations.start import NewSweep
from jobs.operations.sweep_check import check_sweep
from jobs.operations.trust import check_plugins, check_space
from jobs.store.header import Header
from jobs.store.home import Home
from jobs.store.states import SweepKind
from oplstm.errors import RequestError
from oplstm.training.run import RunConfig
from tests.jobs.cli.verbs import complaints, run, the_complaint
from tests.jobs.formula_training import finish, opened, state_of, train
from tests.jobs.plugins import FLAT, JOB, as_in_a_new_process, forget

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


@pytest.fixture(autouse=True)
def elsewhere(oplstm_home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "configuration"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with as_in_a_new_process():
        yield


@pytest.fixture
def modules():
    return set(sys.modules)


@pytest.fixture
def flat(tmp_path):
    """A plug-in in a file; beside it a file that says that it was run."""
    path = tmp_path / "flat.py"
    path.write_text(FLAT)
    return path


def ran(path):
    return path.with_name(path.name + ".ran").exists()


@pytest.fixture
def swept(flat, oplstm_home, modules):
    """A sweep with the plug-in, one trial of which has ended, as another process finds it."""
    job = parse_job(json.dumps(JOB | {"plugins": ["flat.py"]}), "job.yaml")
    assert job.plugins == [str(flat)]
    new = NewSweep(job, "flat-sweep", SweepKind.SWEEP, experiment="e")
    folder = new.check(Home())
    new.create(folder)
    coordinator = opened(folder)
    train(coordinator, coordinator.next_pack())
    coordinator.close(flush_seconds=0)
    another_process(flat, modules)
    return folder


def another_process(flat, modules):
    forget(modules)
    flat.with_name("flat.py.ran").unlink()


def test_what_a_plug_in_brings_is_recorded_and_found_again_when_it_is_looked_up(swept, flat):
    header = Header.read(swept)
    [source] = header.plugins
    assert (source.path, source.brings) == (str(flat), ("benchmark flat", "space flat-widths"))
    state = state_of(swept)
    assert not ran(flat), "a header alone runs no code"
    assert state.trials[0].config.benchmark.height == 2.0
    assert ran(flat)
    check_space(header, state, trust=False)
    assert [check.line() for check in check_sweep(swept) if check.check == "plug-ins"] == [
        f"ok    plug-ins: {flat}, as when it was made"
    ]


def test_code_that_its_user_never_named_is_not_run_unasked(swept, flat, tmp_path):
    shutil.rmtree(tmp_path / "configuration")
    line = (
        f"flat-sweep was made with the plug-in {flat}, which was never named here; if it is code of yours: "
        "oplstm resume flat-sweep --trust"
    )
    with pytest.raises(RequestError) as caught:
        _ = state_of(swept).trials[0].config
    assert str(caught.value) == the_complaint("resume", "flat-sweep") == line
    assert the_complaint("train", "flat-sweep/trial-0000") == line
    [look] = [check for check in check_sweep(swept) if not check.ok]
    assert (look.check, look.found) == ("plug-ins", line)
    assert not ran(flat)
    control.known(swept, trust=True)
    assert ran(flat)


def test_a_plug_in_that_was_changed_is_taken_with_trust_and_then_recorded(swept, flat, modules):
    flat.write_text(FLAT + "\n# a word more\n")
    mend = "if that is what you want: oplstm resume flat-sweep --trust"
    line = f"flat-sweep cannot go on: {flat} was changed since it was made; {mend}"
    for verb in ("resume", "extend", "rerun-failed"):
        assert the_complaint(verb, "flat-sweep", *(["--trials", 9] if verb == "extend" else [])) == line
    looked = {check.check: check for check in check_sweep(swept)}
    assert looked["plug-ins"].found == line and looked["study"].ok, "what can be checked without it is"
    header, _ = control.known(swept, trust=True)
    assert header == Header.read(swept)
    another_process(flat, modules)
    assert check_plugins(Header.read(swept), trust=False) == header.plugins


def test_of_a_sweep_that_has_ended_too(swept, flat, modules, monkeypatch):
    monkeypatch.setattr(control, "_has_report", lambda folder: True)
    finish(swept)
    flat.write_text(FLAT + "\n# a word more\n")
    another_process(flat, modules)
    assert the_complaint("promote", "flat-sweep").endswith("oplstm resume flat-sweep --trust")
    result = run("resume", "flat-sweep", "--trust")
    assert (result.exit_code, result.stderr.splitlines()[0]) == (
        0,
        "flat-sweep has ended; from now on its code is taken as it is now",
    )
    another_process(flat, modules)
    assert Promotion.of(swept, 0).header.plugins == Header.read(swept).plugins
    assert the_complaint("resume", "flat-sweep", "--trust") == "flat-sweep has ended; nothing is left to resume"


def test_a_plug_in_that_is_gone_or_fails_is_one_line(swept, flat):
    flat.write_text("1 / 0")
    assert the_complaint("resume", "flat-sweep", "--trust") == (
        f"plug-in '{flat}' cannot be imported: ZeroDivisionError: division by zero"
    )
    flat.unlink()
    assert the_complaint("resume", "flat-sweep") == (
        f"flat-sweep was made with the plug-in {flat}, and now: plug-in {flat} is no file"
    )


FAILS = "from oplstm.episodes.registry import BENCHMARKS\nBENCHMARKS.register('half', object)\nraise SystemExit('no')\n"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("gone.py", None, "plug-in {path} is no file"),
        ("not-a-module.py", "", "plug-in {path} is not named as a Python module is, such as mine.py"),
        ("no_such_plugin", None, "plug-in 'no_such_plugin': no file of that module is found from {folder}; give a "
                                 "module that Python finds there, or the path of a .py file"),
        ("fails.py", FAILS, "plug-in '{path}' cannot be imported: SystemExit: no"),
        ("empty.py", "", "plug-in '{path}' ({path}) registers nothing; it should say, for instance, "
                         'LEARNERS.register("mine", Mine), with LEARNERS of oplstm.learners.registry'),
        ("taken.py", "from oplstm.learners.registry import LEARNERS\nLEARNERS.register('lstm', object)",
         "plug-in '{path}' cannot be imported: ValueError: there is a learner 'lstm' already"),
    ],
)  # fmt: skip
def test_a_plug_in_that_cannot_be_had_is_one_line_that_names_its_place(name, text, message, tmp_path):
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    wanted = f"plugins.0: {message.format(path=path, folder=tmp_path)} (--plugin {name})"
    assert complaints("plan", "demo", "--plugin", name) == [wanted]
    (tmp_path / "my-job.yaml").write_text(f"learner: lstm\nplugins: [{name}]\n")
    assert complaints("plan", "my-job.yaml") == [wanted.replace(f"--plugin {name}", "my-job.yaml, line 2")]
    with pytest.raises(RequestError, match=r"benchmark.name: unknown 'half'"):
        parse_job("learner: lstm\nbenchmark: {name: half}\nbudget: {tasks: 9}\nfixed: {lr: 1}\n", "j")


def test_no_plug_in_lies_among_results(oplstm_home, flat, swept):
    inside = oplstm_home / "flat.py"
    inside.write_text(FLAT)
    with pytest.raises(RequestError, match="results are data, and no code of theirs is run; keep your plug-ins else"):
        load_plugin(str(inside))
    assert not ran(inside)


def test_a_package_is_recorded_as_a_whole_and_found_by_its_name(tmp_path, modules, monkeypatch):
    package = tmp_path / "plugin_of_a_test"
    package.mkdir()
    (package / "__init__.py").write_text("import plugin_of_a_test.flat\n")
    (package / "flat.py").write_text(FLAT)
    before = load_plugin("plugin_of_a_test")
    assert before.path == str(package / "__init__.py")
    forget(modules)
    (package / "other.py").write_text("")
    assert load_plugin("plugin_of_a_test").sha256 != before.sha256
    (package / "other.py").unlink()
    with pytest.raises(RequestError, match="was changed since this process imported it; begin in a new one"):
        load_plugin("plugin_of_a_test")


def test_plug_ins_reach_a_process_that_has_not_their_file_before_what_is_made_of_them(flat, modules):
    job = parse_job(json.dumps(JOB | {"plugins": ["flat.py"]}), "job.yaml")
    benchmark = {"name": "flat", "shots": 3, "height": 1.0}
    run = RunConfig.from_dict(
        {"learner": "lstm", "benchmark": benchmark, "budget": JOB["budget"], "meta_batch_size": 2, "lr": 0.1, "seed": 0,
         "evaluation_seed": 0}
    )  # fmt: skip
    sent = pickle.dumps((ShippedPlugins.of([load_plugin(job.plugins[0])]), run))
    another_process(flat, modules)
    flat.unlink()
    _, there = pickle.loads(sent)  # noqa: S301
    assert there.benchmark.height == 1.0 and type(there.benchmark) is not type(run.benchmark)


def test_plan_says_what_a_job_with_a_plug_in_would_do(flat, tmp_path):
    (tmp_path / "my-job.yaml").write_text(json.dumps(JOB))
    result = run("plan", "my-job.yaml", "--plugin", "flat.py", "--set", "height=3")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("trials      2\n")
