"""Job files: YAML, checked as a whole before any work; every error is reported with its place."""

import copy
import difflib
import functools
import importlib.resources
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import yaml
from pydantic import Field, ValidationError

from jobs.jobfile.places import line_numbers, located
from jobs.jobfile.sections import Final, Promotion, Pruner, Resources, Sampler, Section
from oplstm.configuration import Problems, build, unknown_key
from oplstm.episodes.measure import Measure
from oplstm.episodes.registry import BENCHMARKS
from oplstm.errors import RequestError
from oplstm.learners.registry import LEARNERS
from oplstm.training.budget import Budget
from oplstm.training.run import RunConfig, build_run
from search_spaces.samplers import GRID, make_pruner, make_sampler
from search_spaces.spaces import NotFinite, enumerate_grid, find_space

RUN_LEVEL = ("lr", "meta_batch_size", "grad_clip", "precision")
PROBED_CONFIGURATIONS = 64
"""Configurations of the space that are built and checked before a job starts."""
REHEARSED_PROPOSALS = 3


class Job(Section):
    """A job file: what to tune, over which space, with which means."""

    version: int = Field(default=1, ge=1, le=1)
    description: str = ""
    learner: str
    benchmark: dict[str, Any]
    fixed: dict[str, Any] = Field(default={}, description="Hyperparameters that do not vary; they win over the space")
    space: str | None = None
    sampler: Sampler = Sampler()
    pruner: Pruner = Pruner()
    trials: int | None = Field(default=None, ge=1, description="Default: every cell of a grid, else 20")
    seeds: int = Field(default=1, ge=1, description="Without a space: runs of the one configuration")
    seed: int = Field(default=0, ge=0, lt=2**31)
    enqueue: list[dict[str, Any]] = Field(default=[], description="Points of the space that are tried first")
    budget: dict[str, Any]
    resources: Resources = Resources()
    promotion: Promotion = Promotion()
    final: Final = Final()

    @property
    def is_grid(self) -> bool:
        """Whether the space is enumerated."""
        return self.sampler.name == GRID

    @property
    def measure(self) -> Measure:
        """What trials are compared by."""
        return BENCHMARKS[self.benchmark["name"]].measure

    @property
    def trial_limit(self) -> int | None:
        """Trials at most; None for every cell of a grid."""
        if self.space is None:
            return self.seeds
        return self.trials if self.trials is not None or self.is_grid else 20

    def suggest(self, trial: Any) -> dict[str, Any]:
        """The space's configuration for ``trial``, overridden by ``fixed``."""
        suggested = find_space(self.space)(trial) if self.space else {}
        if not isinstance(suggested, dict):
            raise TypeError(f"a space must return a dictionary of hyperparameters, got {suggested!r}")
        return {**suggested, **self.fixed}

    def run_data(self, suggested: Mapping[str, Any]) -> dict[str, Any]:
        """Plain data of the run of a configuration, as that of trial 0."""
        benchmark = BENCHMARKS.get(str(self.benchmark.get("name")))
        of_tasks = {f.name for f in fields(benchmark)} if benchmark else set()
        return {
            "learner": self.learner,
            "hyperparameters": {k: v for k, v in suggested.items() if k not in RUN_LEVEL and k not in of_tasks},
            "benchmark": {**self.benchmark, **{k: v for k, v in suggested.items() if k in of_tasks}},
            "budget": self.budget,
            "seed": derived_seed(self.seed, 0),
            "evaluation_seed": self.seed,
            **{k: suggested[k] for k in RUN_LEVEL if k in suggested},
        }


def derived_seed(seed: int, number: int, *, final: bool = False) -> int:
    """The seed of trial ``number``: independent for every (seed, number, kind of run)."""
    return int(np.random.SeedSequence([seed, number, int(final)]).generate_state(1)[0] >> 1)


def shipped_jobs() -> dict[str, str]:
    """Text of the job files that ship, by name."""
    folder = importlib.resources.files("jobs.jobfile") / "files"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".yaml"))
    return {name.removesuffix(".yaml"): (folder / name).read_text() for name in names}


def load_job(reference: str, overrides: Sequence[str] = (), **top_level: Any) -> Job:
    """A job by the name of one that ships or by the path of a file, checked as a whole.

    Args:
        reference: ``sine-lstm`` or ``path/to/job.yaml``.
        overrides: ``key=value`` texts of ``--set``.
        top_level: Keys that replace the file's, such as ``trials``; None is ignored.

    Raises:
        RequestError: Everything that is wrong with it, one line each with its place.
    """
    shipped = shipped_jobs()
    if reference in shipped:
        text, source = shipped[reference], f"{reference}.yaml"
    elif Path(reference).is_file():
        source = Path(reference).name
        try:
            text = Path(reference).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RequestError(f"cannot read {reference}: {error}") from error
    else:
        near = difflib.get_close_matches(reference, shipped, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"jobs that ship: {', '.join(shipped)}"
        raise RequestError(f"no job {reference!r}: it is neither a file nor a job that ships; {hint}")
    return parse_job(text, source, overrides, **top_level)


def parse_job(text: str, source: str, overrides: Sequence[str] = (), **top_level: Any) -> Job:
    """``load_job`` from the text of a job file."""
    problems = Problems()
    try:
        data = yaml.safe_load(text)
        lines = line_numbers(yaml.compose(text, Loader=yaml.SafeLoader), problems)
    except (yaml.YAMLError, RecursionError) as error:
        raise RequestError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(data, dict):
        raise RequestError(f"{source}: a job must be a mapping of keys to values, got {type(data).__name__}")
    set_paths = _apply_overrides(data, overrides, problems)
    data.update({key: value for key, value in top_level.items() if value is not None})
    set_paths |= {(key,): f"--{key} {value}" for key, value in top_level.items() if value is not None}
    job, malformed = _validated(data, problems)
    if job is not None:
        content = Problems()
        _check_job(job, content)
        problems.found += [entry for entry in content.found if not any(entry[0][: len(p)] == p for p in malformed)]
    if problems or job is None:
        found = dict.fromkeys(problems.found)
        raise RequestError([located(path, message, source, lines, set_paths) for path, message in found])
    return job


def _validated(data: dict[str, Any], problems: Problems) -> tuple[Job | None, list[tuple[str, ...]]]:
    """The job and the places that were malformed, whose content cannot be judged.

    Stand-ins take their part, so that the rest is checked too; None where even that does not make a job.
    """
    try:
        return Job.model_validate(data), []
    except ValidationError as error:
        sound, malformed = copy.deepcopy(data), []
        for entry in error.errors():
            place = tuple(str(part) for part in entry["loc"] if part != "[key]")
            if entry["type"] == "extra_forbidden":
                problems.add(place, unknown_key(place[-1], _known_keys(place[:-1])))
            elif entry["type"] == "missing":
                problems.add(place, "is required")
            else:
                problems.add(place, f"{_wanted(entry)}, got {entry['input']!r}")
            malformed.append(place)
            # One entry of a list goes with the whole list: the places of the others must not move.
            _remove(sound, [part for part in entry["loc"] if part != "[key]"][: 1 if place[0] == "enqueue" else None])
    try:
        return Job.model_validate({"learner": "", "benchmark": {}, "budget": {}, **sound}), malformed
    except ValidationError:
        return None, malformed


def _wanted(entry: Mapping[str, Any]) -> str:
    """What pydantic wanted, in the words of all other errors."""
    if entry["type"] in ("dict_type", "model_type"):
        return "must be keys and values"
    words = {"Input should be": "must be", "greater than or equal to": ">=", "less than or equal to": "<="}
    return functools.reduce(lambda text, word: text.replace(word, words[word]), words, str(entry["msg"]))


def _known_keys(section: tuple[str, ...]) -> list[str]:
    model: Any = Job
    for part in section:
        model = model.model_fields[part].annotation
    return list(model.model_fields)


def _remove(data: Any, place: Sequence[Any]) -> None:
    for part in place[:-1]:
        data = data[part] if isinstance(data, dict) and part in data else None
    if isinstance(data, dict):
        data.pop(place[-1], None)


def _apply_overrides(data: dict[str, Any], overrides: Sequence[str], problems: Problems) -> dict[tuple[str, ...], str]:
    """Set ``key=value`` texts in ``data``; returns the text by the path that it set."""
    paths: dict[tuple[str, ...], str] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        place = _override_path(key.strip(), data)
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError:
            equals = ""
        if not equals or place is None:
            known = [*Job.model_fields, *_short_keys(data)]
            message = unknown_key(key, known) if equals else f"must be key=value, with a value in YAML, got {text!r}"
            problems.add(("--set",), message)
            paths[("--set",)] = "command line"
            continue
        section = data
        for part in place[:-1]:
            if not isinstance(section.get(part), dict):
                section[part] = {}
            section = section[part]
        if place[0] in ("budget",) and place[-1] in ("tasks", "updates"):
            section.pop("updates" if place[-1] == "tasks" else "tasks", None)
        section[place[-1]] = parsed
        paths[place] = f"--set {text}"
    return paths


def _short_keys(data: Mapping[str, Any]) -> dict[str, str]:
    """Keys that ``--set`` takes without their section, with the section."""
    section = data.get("benchmark")
    named = section.get("name") if isinstance(section, dict) else None
    keys = {name: "fixed" for name in (*RUN_LEVEL, "convention")}
    for learner in _named(data.get("learner"), LEARNERS):
        keys |= {f.name: "fixed" for f in fields(learner.config_class)}
    keys |= {name: "resources" for name in Resources.model_fields}
    keys |= {f.name: "budget" for f in fields(Budget)}
    return keys | {f.name: "benchmark" for benchmark in _named(named, BENCHMARKS) for f in fields(benchmark)}


def _named(name: Any, known: Mapping[str, Any]) -> list[Any]:
    """The one of that name; all of them where there is none, which is an error of its own."""
    return [known[name]] if isinstance(name, str) and name in known else list(known.values())


def _override_path(key: str, data: Mapping[str, Any]) -> tuple[str, ...] | None:
    if "." in key:
        return tuple(key.split("."))
    if key in Job.model_fields:
        return (key,)
    section = _short_keys(data).get(key)
    return None if section is None else (section, key)


def _check_job(job: Job, problems: Problems) -> None:
    """Names, options, and the configurations that the space produces."""
    for make, place in (
        (lambda: make_sampler(job.sampler.name, job.sampler.options, seed=0, trial=0), "sampler"),
        (lambda: make_pruner(job.pruner.name, job.pruner.options, patience=job.pruner.patience), "pruner"),
        (lambda: find_space(job.space) if job.space else None, "space"),
    ):
        try:
            make()
        except ValueError as error:
            problems.add(place, str(error))
    final = None
    if build(Budget, job.budget, Problems()) is not None:
        final = build(Budget, final_budget(job), problems.below("final").below("budget"))
    if final is not None and not final.test_tasks:
        problems.add(("final", "budget", "test_tasks"), "must be >= 1: a final run is tested")
    for section, gpus in (("resources", job.resources.gpus), ("final", job.final.gpus)):
        if gpus > 1 and gpus != int(gpus):
            problems.add((section, "gpus"), f"must be a whole number, or a fraction below 1, got {gpus:g}")
    if job.enqueue and job.space is None:
        problems.add("enqueue", "needs a space")
    reported: set[tuple[str, ...]] = set()  # the first of many configurations speaks for the others
    for suggested in [{**job.fixed}] if job.space is None else _probe(job, problems):
        found = Problems()
        build_run(job.run_data(suggested), found)
        new = [(path, message) for path, message in found.found if path not in reported]
        problems.found += [_place_in_job(job, path, message) for path, message in new]
        reported |= {path for path, _ in new}


def _place_in_job(job: Job, path: tuple[str, ...], message: str) -> tuple[tuple[str, ...], str]:
    """Where the job says what ``build_run`` complained about."""
    name = path[-1]
    if path[0] not in ("hyperparameters", *RUN_LEVEL):
        return path, message
    if name in job.fixed or job.space is None:
        return ("fixed", name), message
    return ("space",), f"{job.space} gives {name}: {message}"


def _probe(job: Job, problems: Problems) -> list[dict[str, Any]]:
    """Some configurations of the space, the enqueued ones among them."""
    try:
        space = find_space(str(job.space))
    except ValueError:
        return [{"lr": 1.0, "meta_batch_size": 1, **job.fixed}]
    probed = []
    try:
        for index, params in enumerate(job.enqueue):
            probed += _enqueued(job, index, params, problems)
        if job.is_grid:
            cells = list(enumerate_grid(space))
            spread = cells[:: -(-len(cells) // PROBED_CONFIGURATIONS)]
            probed += [_suggested(job, optuna.trial.FixedTrial(cell)) for cell in spread]
        else:
            study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
            probed += [_suggested(job, study.ask()) for _ in range(PROBED_CONFIGURATIONS)]
            _rehearse(job, problems)
    except NotFinite as error:
        problems.add(("sampler", "name"), f"grid cannot enumerate {job.space}: {error}")
    except Exception as error:
        problems.add("space", f"{job.space} raises {type(error).__name__}: {error}")
    return probed


def _suggested(job: Job, trial: Any) -> dict[str, Any]:
    """The space's configuration, after seeing that its parameters survive the journal."""
    suggested = job.suggest(trial)
    if json.loads(json.dumps(trial.params)) != trial.params:
        raise TypeError(f"choices must be text, numbers, lists, true, false or null, got {trial.params!r}")
    return suggested


def _rehearse(job: Job, problems: Problems) -> None:
    """Let the sampler propose: some find out only then that an option is of the wrong type or a package missing."""
    study = optuna.create_study()
    try:
        for number in range(REHEARSED_PROPOSALS):
            study.sampler = make_sampler(job.sampler.name, job.sampler.options, seed=job.seed, trial=number)
            trial = study.ask()
            job.suggest(trial)
            study.tell(trial, float(number))
    except Exception as error:
        if not any(path == ("sampler",) for path, _ in problems.found):
            problems.add("sampler", f"{job.sampler.name} cannot propose from {job.space}: {error}")


def _enqueued(job: Job, index: int, params: dict[str, Any], problems: Problems) -> list[dict[str, Any]]:
    """The configuration of one ``enqueue`` entry, or nothing after recording what is wrong with it."""
    place = ("enqueue", str(index))
    trial = optuna.trial.FixedTrial(params)
    try:
        with warnings.catch_warnings(action="error"):
            suggested = job.suggest(trial)
    except (ValueError, UserWarning) as error:
        problems.add(place, " ".join(str(error).partition(" Please set it")[0].split()))
        return []
    unknown = [name for name in params if name not in trial.params]
    for name in unknown:
        problems.add((*place, name), unknown_key(name, trial.params))
    return [] if unknown else [suggested]


def final_budget(job: Job) -> dict[str, Any]:
    """The budget of the final run: the sweep's, with the keys of ``final.budget`` replaced."""
    budget = dict(job.budget)
    if {"tasks", "updates"} & set(job.final.budget):
        budget = {key: value for key, value in budget.items() if key not in ("tasks", "updates")}
    return budget | job.final.budget


def build_trial_run(job: Job, suggested: Mapping[str, Any]) -> RunConfig:
    """The run of a checked job's configuration, as that of trial 0.

    Raises:
        ValueError: The space gave an impossible configuration.
    """
    return RunConfig.from_dict(job.run_data(suggested))


def numbered(job: Job, run: RunConfig, number: int, *, final: bool) -> RunConfig:
    """The same run as that of trial ``number``: a trial's number decides its seeds."""
    seed = derived_seed(job.seed, number, final=final)
    return replace(run, seed=seed, evaluation_seed=seed if final else job.seed, final=final)


def single_configuration(job: Job) -> Job:
    """The job without its space: its first enqueued point, or its fixed values alone.

    Raises:
        RequestError: It has a space and no enqueued point.
    """
    if job.space is None:
        return job
    if not job.enqueue:
        raise RequestError("this job has a space and no enqueued point: train needs one configuration, "
                           "so add one under enqueue, or use sweep")  # fmt: skip
    suggested = job.suggest(optuna.trial.FixedTrial(job.enqueue[0]))
    single: dict[str, Any] = {
        "space": None,
        "enqueue": [],
        "fixed": suggested,
        "pruner": Pruner(),
        "sampler": Sampler(),
    }
    return job.model_copy(update=single)


def json_schema() -> str:
    """The JSON schema of a job file, for editors."""
    return json.dumps(Job.model_json_schema(), indent=2) + "\n"
