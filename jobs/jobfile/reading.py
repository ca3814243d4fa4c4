"""Reading a job file: YAML, checked as a whole before any work; every error is reported with its place."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from jobs.jobfile.given import with_points_taken
from jobs.jobfile.naming import unfit_name
from jobs.jobfile.overrides import apply_overrides
from jobs.jobfile.places import Place, located, pointed
from jobs.jobfile.plugins import load_plugin, named
from jobs.jobfile.probing import check_content
from jobs.jobfile.schema import Job
from jobs.jobfile.shipped import shipped_jobs
from jobs.jobfile.validating import validated
from jobs.jobfile.yaml_text import LARGEST_FILE, Unreadable, read_yaml
from oplstm.configuration import Problems
from oplstm.errors import LONGEST_LINE, RequestError, message, quoted, shown

MOST_PROBLEMS: Final = 100
"""That are said of one job."""


def load_job(
    reference: str, overrides: Sequence[str] = (), *, trials: int | None = None, plugins: Sequence[str] = ()
) -> Job:
    """A job by the name of one that ships or by the path of a file, checked as a whole.

    Args:
        reference: ``sine-lstm`` or ``path/to/job.yaml``.
        overrides: ``key=value`` texts of ``--set``.
        trials: Replaces the file's, if given.
        plugins: Stand beside those of the file.

    Raises:
        RequestError: Everything that is wrong with it, one line each with its place.
    """
    shipped = shipped_jobs()
    if reference in shipped:
        return parse_job(shipped[reference], f"{reference}.yaml", overrides, trials=trials, plugins=plugins)
    text = _text_of(reference, shipped)
    unfit = unfit_name(Path(reference).stem)
    problems = [] if unfit is None else [f"{reference}: the experiment and the model are named for the job file, and "
                                         f"{unfit}; rename the file"]  # fmt: skip
    try:
        job = parse_job(text, reference, overrides, trials=trials, plugins=plugins)
    except RequestError as error:
        problems += error.problems
    if problems:
        raise RequestError(problems)
    return job


def _text_of(reference: str, shipped: Iterable[str]) -> str:
    """The text of a job file.

    Raises:
        RequestError: There is none that can be read.
    """
    path = Path(reference)
    try:
        if reference and path.is_dir():
            there = sorted(entry.name for entry in path.iterdir() if entry.suffix in (".yaml", ".yml"))
            hint = f"did you mean {path / there[0]}?" if there else "it holds no job file (.yaml)"
            raise RequestError(f"{quoted(reference, LONGEST_LINE)} is a folder; {hint}")
        if not reference or not path.exists():
            near = difflib.get_close_matches(reference, shipped, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"jobs that ship: {', '.join(shipped)}"
            raise RequestError(f"no job {shown(reference)}: it is neither a file nor a job that ships; {hint}")
        if not path.is_file():
            raise RequestError(f"{quoted(reference, LONGEST_LINE)} is no regular file")
        with path.open("rb") as file:
            found = file.read(LARGEST_FILE + 1)
        if len(found) > LARGEST_FILE:
            limit = f"more than {LARGEST_FILE >> 10} KiB, and a job file may have no more"
            raise RequestError(f"{quoted(reference, LONGEST_LINE)}: {limit}")
        return found.decode("utf-8")
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) and error.strerror else message(error)
        raise RequestError(f"cannot read {quoted(reference, LONGEST_LINE)}: {what}") from error


def parse_job(
    text: str,
    source: str,
    overrides: Sequence[str] = (),
    *,
    trials: int | None = None,
    plugins: Sequence[str] = (),
) -> Job:
    """``load_job`` from the text of a job file."""
    problems = Problems()
    try:
        data, lines = read_yaml(text, problems)
    except Unreadable as error:
        raise RequestError(_unreadable(error, text, source)) from error
    if data is None:
        raise RequestError(f"{source}: is empty; oplstm init writes a commented job file")
    if not isinstance(data, dict):
        kind = "a list" if isinstance(data, list) else shown(data)
        raise RequestError(f"{source}: a job must be keys and values, got {kind}")
    _import_plugins(data, plugins, lines=lines, source=source)  # which know keys that --set may name
    set_paths = apply_overrides(data, overrides, problems)
    if trials is not None:
        data["trials"] = trials
        set_paths["trials",] = f"--trials {trials}"
    job, malformed = validated(data, problems)
    if job is not None:
        content = Problems()
        check_content(job, content)
        problems.found += [entry for entry in content.found if not any(entry[0][: len(p)] == p for p in malformed)]
    if problems or job is None:
        found = list(dict.fromkeys(problems.found))
        said = [
            located(path, text, source=source, lines=lines, overrides=set_paths) for path, text in found[:MOST_PROBLEMS]
        ]
        more = [f"{source}: and {len(found) - MOST_PROBLEMS} problems more"] if len(found) > MOST_PROBLEMS else []
        raise RequestError([*said, *more])
    return with_points_taken(job)


def _import_plugins(data: dict[str, Any], further: Sequence[str], *, lines: Mapping[Place, int], source: str) -> None:
    """Import the plug-ins of a job before anything is looked up that they may bring, and put down where they are.

    Raises:
        RequestError: Some cannot be imported; the rest of the job is not judged without them.
    """
    given = data.get("plugins", [])
    if not isinstance(given, list) or not all(isinstance(plugin, str) for plugin in given):
        return  # which the schema says better
    problems: list[str] = []
    for number, plugin in enumerate([*given, *further]):
        place: Place = ("plugins", str(number))
        try:
            load_plugin(named(plugin))
        except RequestError as error:
            overrides = {} if number < len(given) else {place: f"--plugin {quoted(plugin)}"}
            problems += [located(place, text, source=source, lines=lines, overrides=overrides)
                         for text in error.problems]  # fmt: skip
    if problems:
        raise RequestError(problems)
    if given or further:
        data["plugins"] = list(dict.fromkeys(map(named, [*given, *further])))


def _unreadable(error: Unreadable, text: str, source: str) -> str:
    """Why a file is no job, with the line and a caret where it is no YAML."""
    place = "" if error.place is None else " (line {}, column {})".format(*error.place)
    if error.too_much:
        return f"{source}: {error.problem}{place}, and a job file may have no more"
    snippet = "" if error.place is None else f"\n{pointed(text, *error.place)}"
    return f"{source}: not valid YAML: {error.problem}{place}{snippet}"
