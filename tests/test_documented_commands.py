"""What README and docs tell people to type is run by a test, or the reason stands here.

Jobs are read, with everything that a command sets, as their verb would read them. The tutorial is run as it stands
(tests/jobs/integration/test_tutorial.py), and so is the Python of the how-to pages. Of every other verb some test of
tests/jobs runs it; which targets of make are not run by a test, and why, says ``MAKE``.
"""

import functools
import importlib
import re
from pathlib import Path

import click
import pytest

from jobs.cli.main import main
from jobs.jobfile.reading import load_job
from jobs.jobfile.resolving import single_configuration
from jobs.jobfile.template import TEMPLATE
from oplstm.episodes.registry import BENCHMARKS
from oplstm.errors import RequestError
from oplstm.learners.registry import LEARNERS
from oplstm.testing.recorder import Recorder
from oplstm.training.loop import Trainer
from oplstm.training.pack import Pack
from oplstm.training.run import RunConfig
from tests.code_blocks import blocks
from tests.conftest import ROOT
from tests.test_docs import PAGES, commands, whole

pytestmark = pytest.mark.slow

MAKE = {
    "install": "CI begins with it",
    "test": "CI ends with it",
    "test-long": "some twenty minutes, before a release",
    "test-unit": "a part of make test",
    "lint": "a step of CI",
    "types": "a step of CI",
    "imports": "a step of CI",
    "docs": "a step of CI, which runs this test",
    "demo": "minutes; tests/jobs/cli/test_demo.py sees that it is the verbs of the tutorial, which are run shortened",
    "ui": "waits for Ctrl-C; the verb is run by tests/jobs/integration/test_ui.py",
    "bench": "half an hour; tests/benchmark runs its sections, shortened",
    "chaos": "a quarter of a minute a kill; tests/chaos runs some in the slow tier",
    "gpu-check": "needs a GPU; tests/benchmark/gpu_check runs what it can without",
    "clean": "deletes",
}
OTHER_PROGRAMS = {
    "source": "a shell's own", "export": "a shell's own", "while": "a shell's own", "do": "a shell's own",
    "done": "a shell's own",
    "git": "needs the repository's address", "cd": "a shell's own",
    "python3": "by hand what make install does", ".venv/bin/pip": "by hand what make install does",
    "mlflow": "a server of others; tests/jobs/integration/test_secured.py starts such a one",
    "sudo": "by hand what tests/tracking/postgres.py does", "pip": "on the server's machine",
    "python": "an experiment of docs/studies; tests/test_studies.py",
    "sbatch": "needs SLURM", "docker": "needs Docker", "kubectl": "needs Kubernetes",
}  # fmt: skip
"""Commands that are not ours, in the shell code of the pages, and why no test runs them."""
JOB_VERBS = ("plan", "train", "sweep")
PLACEHOLDER = re.compile(r"[A-Z][A-Z_]+\d*|…|\.\.\.")


def documented() -> list[list[str]]:
    """Every command of ours on the pages, once; test_docs.py looks at those that do not exist."""
    found = {
        tuple(words[1:]): words[1:]
        for page in PAGES
        for words in commands(whole(page))
        if Path(words[0]).name == "oplstm" and len(words) > 1 and words[1] in main.commands
    }
    return list(found.values())


def is_complete(words: list[str]) -> bool:
    """Whether nothing in a command stands for something else, as NAME does."""
    return not any(PLACEHOLDER.fullmatch(word) or word == "--help" for word in words)


# "train SWEEP/TRIAL" names no job but a trial; tests/jobs/integration/test_train.py trains one
JOBS = [
    words
    for words in documented()
    if words[0] in JOB_VERBS and len(words) > 1 and is_complete(words) and "/" not in words[1]
]


def verb_of(words: list[str]) -> str:
    """The verb, of a group the one in it."""
    command: click.Command = main
    verb = ""
    for word in words:
        if not isinstance(command, click.Group) or word not in command.commands:
            break
        verb, command = word, command.commands[word]
    return verb


@pytest.fixture(scope="module")
def working_directory(tmp_path_factory):
    """Where the files of the pages lie that commands name."""
    folder = tmp_path_factory.mktemp("working-directory")
    (folder / "job.yaml").write_text(TEMPLATE)
    [space, job] = blocks(ROOT / "docs/howto/space.md", "python", "yaml")
    (folder / "my_spaces.py").write_text(space)
    (folder / "my-job.yaml").write_text(job)
    return folder


@pytest.mark.parametrize("words", JOBS, ids=" ".join)
def test_a_job_is_read_with_what_the_command_sets(words, working_directory, monkeypatch):
    monkeypatch.chdir(working_directory)
    monkeypatch.syspath_prepend(working_directory)
    given = main.commands[words[0]].make_context(words[0], list(words[1:])).params
    job = load_job(given["job"], given["overrides"], trials=given.get("trials"))
    assert job.space is not None or words[0] != "sweep"
    if words[0] == "train":
        single_configuration(job)


OTHER_CELLS = [
    (page.stem.replace("-", "_"), row)
    for page in sorted((ROOT / "docs/methods").glob("*.md"))
    for row in re.findall(r"^\| .* \| (`--set .*) \|$", page.read_text(), re.MULTILINE)
]


@pytest.mark.parametrize(("learner", "row"), OTHER_CELLS)
def test_the_other_published_cells_are_read(learner, row):
    names = re.findall(r"`(published-[\w-]+)`", row) or re.findall(r"oplstm train (published-[\w-]+)", _page(learner))
    for sets in re.findall(r"`(--set [^`]*)`", row):
        overrides = sets.replace("--set ", "").split()
        readable = [name for name in names if _reads(name, overrides)]
        assert readable, sets


def _page(learner: str) -> str:
    return whole(ROOT / "docs/methods" / f"{learner.replace('_', '-')}.md")


def _reads(name: str, overrides: list[str]) -> bool:
    try:
        return bool(load_job(name, overrides))
    except RequestError:
        return False


@functools.cache
def what_tests_run() -> str:
    return "\n".join(path.read_text() for path in (ROOT / "tests/jobs").rglob("*.py") if path.name != "test_cli.py")


@pytest.mark.parametrize("verb", sorted({verb_of(words) for words in documented()}))
def test_a_verb_is_run_by_a_test(verb):
    assert re.search(rf"""["']{verb}[ "']|\b{verb} """, what_tests_run())


def test_every_make_target_is_run_or_says_why_not():
    named = {
        word
        for page in PAGES
        for words in commands(whole(page))
        if words[0] == "make"
        for word in words[1:]
        if re.fullmatch(r"[a-z][a-z-]*", word)
    }
    assert named - set(MAKE) == set()


def test_other_programs_say_why_they_are_not_run():
    shell = "\n".join(f"```sh\n{text}```\n" for page in PAGES for text in blocks(page, "sh"))
    named = {words[0].strip("`") for words in commands(shell)} - {"make", "oplstm"}
    assert named - set(OTHER_PROGRAMS) == set()


@pytest.fixture
def of_the_howto_pages(tmp_path, monkeypatch):
    """The learner and the benchmark of the how-to pages, known as if their packages were installed."""
    [learner] = blocks(ROOT / "docs/howto/learner.md", "python")
    [benchmark] = blocks(ROOT / "docs/howto/dataset.md", "python")
    (tmp_path / "of_howto_learner.py").write_text(learner)
    (tmp_path / "of_howto_dataset.py").write_text(benchmark)
    monkeypatch.syspath_prepend(tmp_path)
    mean = importlib.import_module("of_howto_learner").Mean
    lines = importlib.import_module("of_howto_dataset").LineTasks
    monkeypatch.setitem(LEARNERS._registered, "mean", mean)
    monkeypatch.setitem(BENCHMARKS._registered, "lines", lines)


def test_the_learner_and_the_benchmark_of_the_howto_pages_are_trained(of_the_howto_pages, tmp_path):
    runs = [
        RunConfig.from_dict(
            {
                "learner": "mean",
                "hyperparameters": {"bias": bias},
                "benchmark": {"name": "lines", "shots": 3},
                "meta_batch_size": 2,
                "lr": 0.01,
                "budget": {"updates": 4, "validate_every": 2, "validation_tasks": 20, "test_tasks": 20},
                "seed": 0,
                "evaluation_seed": 0,
            }
        )
        for bias in (0.0, 100.0)
    ]
    listener = Recorder()
    Trainer(Pack(runs, ["a", "b"]), listener, folder=tmp_path / "pack", run_folder=tmp_path / "runs").train()
    near, far = ([point.metrics["val/loss"] for point in listener.points if point.run == name] for name in "ab")
    assert len(near) == len(far) == 3
    assert near[-1] < 100 < far[-1] < far[0], "the learned number goes to where the lines are"
