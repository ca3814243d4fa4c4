"""``oplstm evaluate``: a trained model on tasks of one's own choice, of the classes that no training has seen."""

import contextlib
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jobs.jobfile.plugins import load_plugin, named
from jobs.operations.family import headers
from jobs.operations.homes_server import HomesServer
from jobs.operations.tracking_server import tracking_server
from jobs.store.header import Header
from jobs.store.home import Home
from jobs.store.intervals import Interval
from jobs.store.trial_files import readable
from oplstm.configuration import Problems
from oplstm.episodes.datasets.store import open_dataset
from oplstm.episodes.registry import BENCHMARKS
from oplstm.episodes.split import Split
from oplstm.errors import RequestError, message
from oplstm.registry import NAME
from oplstm.training.checkpoint import read_model
from oplstm.training.device import Device
from oplstm.training.model import Model
from oplstm.training.run import RunConfig, build_run


@dataclass(frozen=True)
class Tasks:
    """The tasks to evaluate on; None for what the model was trained with.

    Attributes:
        dataset: Name of the benchmark, or of an imported dataset of the user's own.
        shots: k.
        ways: N.
        queries: Of a task; of a class where there are classes.
        count: How many tasks.
        seed: They are drawn from it.
    """

    dataset: str | None = None
    shots: int | None = None
    ways: int | None = None
    queries: int | None = None
    count: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class Evaluation:
    """What was found.

    Attributes:
        model: As it was asked for.
        benchmark: The tasks, as a job file has them.
        passes: T: over the support set, or steps of gradient descent.
        measure: ``loss`` or ``accuracy``.
        score: Mean over the tasks, with its 95% interval: a claim about these weights.
        tasks: How many.
    """

    model: str
    benchmark: dict[str, Any]
    passes: int
    measure: str
    score: Interval
    tasks: int

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)


def evaluate(
    home: Home,
    model: str,
    tasks: Tasks,
    *,
    passes: int | None = None,
    uri: str | None,
    plugins: Sequence[str] = (),
) -> Evaluation:
    """Score a model on test tasks.

    Args:
        home: Where sweeps and datasets are.
        model: ``SWEEP/TRIAL``, or a registered model: ``NAME`` (its champion), ``NAME@ALIAS``, ``NAME:VERSION``.
        tasks: On which.
        passes: T; None for that of its own test.
        uri: Of the MLflow server; None for that of the newest sweep in ``home``.
        plugins: Code that the model or its tasks are of, beside that of the sweeps in ``home``.

    Raises:
        RequestError: There is no such model, it is not made for such tasks or passes, or the data are not there.
        WorkError: A file of the model is damaged.
    """
    for plugin in plugins:
        load_plugin(named(plugin))
    with found_model(home, model, uri) as folder:
        try:
            run, weights = read_model(folder)
        except ValueError as error:  # of a learner or a benchmark that is not known here
            problem = f"{model} cannot be read here: {message(error)}"
            raise RequestError(f"{problem}; if code of yours brings that, name it with --plugin") from error
    wanted = _run_on(run, tasks, passes, home=home, model=model)
    there = Model(wanted, weights, Device(data=home.data))
    if there.pack.layout.shapes != {name: tuple(weight.shape) for name, weight in weights.items()}:
        raise RequestError(_misfit(run, wanted, model))
    measure = wanted.benchmark.measure
    values = there.scores(Split.FINAL_TEST, seed=tasks.seed, count=tasks.count)[measure.name].numpy()
    benchmark = wanted.to_dict()["benchmark"]
    made = wanted.passes(training=False)
    return Evaluation(model, benchmark, made, measure.name, Interval.of(values, over="tasks"), tasks.count)


@contextlib.contextmanager
def found_model(home: Home, model: str, uri: str | None) -> Iterator[Path]:
    """The folder of a model while in here."""
    sweep, slash, trial = model.partition("/")
    if slash:
        folder = home.sweep(sweep)
        folder.check_links()
        Header.read(folder)  # from then on its plug-ins are known
        if not (folder.trials / Path(trial).name / "run.json").is_file() or Path(trial).name != trial:
            raise RequestError(f"sweep {sweep} has no trained trial {trial!r}; oplstm status {sweep} shows its trials")
        with readable(folder, trial, again="sweep its configuration again (under enqueue)"):
            yield folder.trial(trial)
        return
    from tracking.results.registry import download_model  # imports MLflow, which takes seconds

    deque(headers(home), maxlen=0)  # of one of which it may be: what its plug-ins bring is known from then on
    chosen = HomesServer.of(home, uri).uri
    with tempfile.TemporaryDirectory() as drawer, tracking_server(home, chosen, wait=True) as server:
        yield download_model(server, model, Path(drawer))


def _run_on(run: RunConfig, tasks: Tasks, passes: int | None, *, home: Home, model: str) -> RunConfig:
    """The run on other tasks, and with other passes, than those it was trained with."""
    data = run.to_dict()
    if passes is not None:
        its = next((name for name in ("eval_passes", "passes") if name in data["hyperparameters"]), None)
        if its is None:
            raise RequestError(f"{model} is of {run.learner}, which has no passes to choose: leave --passes out")
        data["hyperparameters"][its] = passes
    before = data["benchmark"]
    given = {"shots": tasks.shots, "ways": tasks.ways, "queries": tasks.queries}
    changed = {name: value for name, value in given.items() if value is not None}
    if tasks.dataset is not None and tasks.dataset not in (before["name"], before.get("dataset")):
        shared = {name: before[name] for name in ("ways", "shots", "queries") if name in before}
        data["benchmark"] = {**_benchmark(tasks.dataset, home), **shared, **changed}
    else:
        data["benchmark"] = {**before, **changed}
    problems = Problems()
    found = build_run(data, problems)
    if found is None:
        raise RequestError(f"{model} cannot be evaluated on these tasks: {'; '.join(problems.lines())}")
    return found


def _benchmark(dataset: str, home: Home) -> dict[str, Any]:
    """The benchmark of that name, or that of a dataset of the user's own as it was imported."""
    if dataset in BENCHMARKS or not (NAME.fullmatch(dataset) and (home.data / dataset).is_dir()):
        return {"name": dataset}
    height, _, channels = open_dataset(home.data / dataset).pixels.shape[1:]
    return {"name": "images", "dataset": dataset, "size": height, "grey": channels == 1}


def _misfit(run: RunConfig, wanted: RunConfig, model: str) -> str:
    if run.benchmark.shape.x != wanted.benchmark.shape.x:
        trained, asked = run.benchmark.name, wanted.benchmark.name
        return f"{model} was trained on {trained}, whose inputs have another shape than those of {asked}"
    ways = [getattr(one.benchmark, "ways", None) for one in (run, wanted)]
    return f"{model} has one output a class: it was trained for {ways[0]} ways, not {ways[1]}"
