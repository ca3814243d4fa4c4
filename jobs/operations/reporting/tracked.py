"""The report of a sweep in its folder and on its own MLflow run, with links to the final run and back."""

import hashlib
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import quote

from jobs.operations.reporting.contents import Contents, FinalRun
from jobs.operations.reporting.files import job_name, job_yaml, trials_csv
from jobs.operations.reporting.page import page
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.sweep.described import sweep_note
from jobs.sweep.tracked import key
from oplstm.durable import new_folder, write_file
from oplstm.errors import RequestError, one_line
from tracking.journal.format import Json
from tracking.journal.journal import Journal
from tracking.outbox import records
from tracking.outbox.links import NOTE, run_link
from tracking.outbox.outbox import Outbox, idle_outbox
from tracking.server.client import without_credentials

PAGE: Final = "report.html"
TABLE: Final = "trials.csv"
REPORT_TAG: Final = "oplstm.report"
SHIP_SECONDS: Final = 30.0


def write_report(folder: SweepFolder, path: Path) -> None:
    """Write the page of a sweep into a file.

    Raises:
        RequestError: It is no sweep, or the file's folder does not exist.
        WorkError: Its journal is damaged.
    """
    if not path.parent.is_dir():
        raise RequestError(f"{path}: there is no folder {path.parent}")
    write_file(path, page(Contents.of(folder)))


def track_report(folder: SweepFolder, tracking_uri: str, *, wait: bool = True) -> int:
    """Make the report of a sweep that has ended or was promoted, and log it on the sweep's own run if it has changed.

    Whatever goes wrong is a line in the sweep's log and on stderr: a report is not worth a sweep.

    Args:
        folder: Of the sweep, which does not run.
        tracking_uri: Of the MLflow server.
        wait: Whether to wait until it has arrived; else it is shipped when what waits already is.

    Returns:
        How many records wait for the MLflow server.
    """
    patience = SHIP_SECONDS if wait else 0.0
    try:
        contents = replace(Contents.of(folder), server=without_credentials(tracking_uri))
        if not contents.state.finished and contents.state.promotion is None:
            return 0
        if (final := contents.final) is not None and final.state.finished and final.run_id is not None:
            there = Home(folder.home).sweep_folder(final.header.name)
            _track(there, [_of_final(contents, final)], tracking_uri, patience=patience)
        return _track(folder, _written(folder, contents), tracking_uri, patience=patience)
    except Exception as error:
        _complain(folder, f"the report of {folder.name} was not made: {one_line(error)}")
        return 0


def has_report(folder: SweepFolder) -> bool:
    """Whether the report of a sweep was made, and MLflow told of it; whoever was killed meanwhile may have done half.

    Raises:
        WorkError: The journal is damaged.
    """
    return report_problem(folder, Header.read(folder)) is None


def report_problem(folder: SweepFolder, header: Header) -> str | None:
    """What is wrong with the report of a sweep that has ended, as a line.

    Raises:
        WorkError: The journal is damaged.
    """
    paths, told = [folder.report / name for name in (PAGE, TABLE, job_name(header))], report_told(folder)
    if missing := [path.name for path in paths if not path.is_file()]:
        return f"{folder.report} lacks {', '.join(missing)}"
    if told is None:
        return f"MLflow was not told of {folder.report}"
    return None if told == _digest(path.read_bytes() for path in paths) else f"{folder.report} is not as it was made"


def report_told(folder: SweepFolder) -> str | None:
    """The digest of the report that MLflow was last told of.

    Raises:
        WorkError: The journal is damaged.
    """
    last = None
    for record in Journal.read(folder.journal):
        tags = record.get("tags")
        if isinstance(tags, dict) and REPORT_TAG in tags:
            last = str(tags[REPORT_TAG])
    return last


def _complain(folder: SweepFolder, line: str) -> None:
    print(f"oplstm: {line}", file=sys.stderr)
    with suppress(OSError), folder.pack_log.open("a", encoding="utf-8") as log:  # a full disk may be what went wrong
        log.write(line + "\n")


def _track(folder: SweepFolder, told: Sequence[records.Record], tracking_uri: str, *, patience: float) -> int:
    """Journal what MLflow is to be told, unless its tags are the last that it was told, and ship it."""
    tags = told[0].encode()
    if _last_tags(folder, tags) != tags["tags"]:
        with Journal(folder.journal) as journal:
            journal.append([record.encode() for record in told])
            journal.sync()
    if not patience:
        return idle_outbox(folder.journal).pending()
    with Outbox(folder.journal, tracking_uri) as outbox:
        return outbox.flush(patience)


def _last_tags(folder: SweepFolder, like: dict[str, Json]) -> Json:
    """The tags of the last record in the journal that sets the same ones on the same run."""
    last = None
    for record in Journal.read(folder.journal):
        found = record.get("tags")
        if (record.get("op"), record.get("key")) == (like["op"], like["key"]) and _names(found) == _names(like["tags"]):
            last = found
    return last


def _names(tags: Json) -> set[str]:
    return set(tags) if isinstance(tags, dict) else set()


def _written(folder: SweepFolder, contents: Contents) -> list[records.Record]:
    """Write the report, and give what MLflow is to be told of it; the tags name what is in the files."""
    header = contents.header
    files = {PAGE: page(contents), TABLE: trials_csv(contents), job_name(header): job_yaml(header)}
    with new_folder(folder.report) as draft:
        for name, text in files.items():
            (draft / name).write_text(text, encoding="utf-8")
    tags = {REPORT_TAG: _digest(text.encode() for text in files.values()), **_of_sweep(contents)}
    return [
        records.Tags(key(header), tags),
        records.Artifact(key(header), path=folder.report.name, folder=folder.report.name),
    ]


def _digest(files: Iterable[bytes]) -> str:
    return hashlib.sha256(b"\0".join(files)).hexdigest()


def _of_sweep(contents: Contents) -> dict[str, str]:
    """Tags of the sweep's own run that lead to what was picked in it."""
    header, made, final = contents.header, contents.state.promotion, contents.final
    this = key(header)
    files = (("Report", PAGE), ("table of trials", TABLE), ("job file with all that was set", job_name(header)))
    linked = [run_link(text, this, f"report/{name}") for text, name in files]
    lines, tags = [", ".join(linked) + "."], dict[str, str]()
    if made is not None:
        tags = {"oplstm.picked": made.picked}
        lines.append(f"Picked: {run_link(made.picked, f'{this}/{made.picked}')}.")
        if replicates := [run_link(name, f"{this}/{name}") for name in contents.state.replicates]:
            lines.append(f"Replicates: {', '.join(replicates)}.")
        if made.registered is not None:
            tags["oplstm.registered"] = made.registered
            model, _, version = made.registered.rpartition(":")
            lines.append(
                f"Registered: [{made.registered}](#/models/{quote(model, safe='')}/versions/{version}), and all "
                f"versions of [{model}](#/models/{quote(model, safe='')})."
            )
        if made.final is not None:
            tags |= {"oplstm.final": made.final, "oplstm.final_run": (final and final.run_id) or ""}
            name = made.final if final is None else run_link(made.final, key(final.header))
            lines.append(f"Final run: {name}.")
    return tags | {NOTE: sweep_note(header, *lines)}


def _of_final(contents: Contents, final: FinalRun) -> records.Record:
    """Tags of the final run's own run that lead back to the sweep."""
    header, made, run_ids = contents.header, contents.state.promotion, contents.run_ids
    picked = "" if made is None else made.picked
    sweep, trial = run_link(header.name, key(header)), run_link(picked, key(header, picked))
    report = run_link("report", key(header), f"report/{PAGE}")
    note = sweep_note(final.header, f"Final run of sweep {sweep} ({report}), with the configuration of {trial}.")
    tags = {"oplstm.of_sweep": header.name, "oplstm.of_run": run_ids.get("", ""), "oplstm.of_trial": picked}
    return records.Tags(key(final.header), tags | {NOTE: note})
