"""Links in descriptions, written before it is known on which server and under which ids what they lead to will be.

In Markdown, `(run:KEY)` stands for the page of the run of a key, `(run:KEY#PLACE)` for an artifact of it, and
`(view:KEY)` for that of an experiment's saved view. They become links within the server when they are shipped; what is
not there then is no link.
"""

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from tracking.results.views import TRAINING, view_link

NOTE: Final = "mlflow.note.content"
VIEW: Final = "oplstm.view"
"""Tag of a sweep's own run: what its trials are compared by, as `view_tag` writes it."""
_LINK: Final = re.compile(r"\[([^\]\n]*)\]\((run|view):([A-Za-z0-9._:/-]{1,200})(?:#([^)\s]{1,300}))?\)")


def run_link(text: str, key: str, artifact: str = "") -> str:
    """A link for a description, to the run of a key or to an artifact of it."""
    return f"[{_plain(text)}](run:{key}{f'#{quote(artifact)}' if artifact else ''})"


def trials_link(text: str, view: str) -> str:
    """A link for a description, to the saved view of this key."""
    return f"[{_plain(text)}](view:{view})"


def shipped(text: str, experiment_id: str, find: Callable[[str], str | None]) -> str:
    """The description as it is shipped.

    Args:
        text: With links by keys.
        experiment_id: In which all that is linked to lies.
        find: The run of a key.
    """

    def address(found: re.Match[str]) -> str:
        words, kind, key, artifact = found.groups()
        if kind == "view":
            return f"[{words}]({view_link(experiment_id, key)})"
        run_id = find(key)
        return words if run_id is None else f"[{words}]({run_address(experiment_id, run_id, artifact or '')})"

    return _LINK.sub(address, text)


def relinked(text: str, before: str, now: str) -> str:
    """The description with links to the runs of keys that have another first part now."""

    def changed(found: re.Match[str]) -> str:
        words, kind, key, artifact = found.groups()
        first, slash, rest = key.partition("/")
        if kind != "run" or first != before:
            return found[0]
        return f"[{words}](run:{now}{slash}{rest}{f'#{artifact}' if artifact else ''})"

    return _LINK.sub(changed, text)


def run_address(experiment_id: str, run_id: str, artifact: str = "") -> str:
    """Of a run's page, or of an artifact of it, from any page of its server."""
    place = f"/artifacts/{artifact}" if artifact else ""
    return f"#/experiments/{experiment_id}/runs/{run_id}{place}?{TRAINING}"


def _plain(text: str) -> str:
    return re.sub(r"[\[\]\n]", " ", text)
