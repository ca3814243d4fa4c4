"""Gives the runs in a journal other keys, and so other runs in MLflow."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from oplstm.durable import draft_beside
from tracking.journal.journal import Journal
from tracking.outbox.links import NOTE, relinked


def rekey(path: Path, key: str, tags: Mapping[str, str]) -> None:
    """Put another first part into every run's key and all links to it, and forget what of the journal was shipped.

    Args:
        path: The journal, which nobody writes; nothing happens where there is none.
        key: The new first part, up to the first slash.
        tags: Values that take the place of those that runs were given at their creation.

    Raises:
        RequestError: It cannot be read, or is of a later version.
        WorkError: It is damaged, or cannot be written.
    """
    if not path.exists():
        return
    draft = draft_beside(path)
    try:
        with Journal(draft) as journal:
            for line in Journal.lines(path):
                journal.append([_rekeyed(record, key, tags) for record in line.records])
        for beside in ("shipped", "refused"):
            path.with_name(f"{path.name}.{beside}").unlink(missing_ok=True)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
        draft.with_name(f"{draft.name}.lock").unlink(missing_ok=True)


def _rekeyed(record: Mapping[str, Any], key: str, tags: Mapping[str, str]) -> dict[str, Any]:
    if record.get("kind") != "track":
        return dict(record)
    names = {name: old for name in ("key", "parent_key") if isinstance(old := record.get(name), str)}
    found = {**record, **{name: f"{key}{old[len(old.partition('/')[0]) :]}" for name, old in names.items()}}
    if isinstance(given := record.get("tags"), dict):
        found["tags"] = {name: tags.get(name, value) for name, value in given.items()}
        if isinstance(note := found["tags"].get(NOTE), str):
            found["tags"][NOTE] = relinked(note, str(record.get("key")).partition("/")[0], key)
    return found
