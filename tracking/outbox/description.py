"""The description of a run, which has three authors: oplstm, ``oplstm note``, and who edits it in the MLflow UI.

MLflow has one text for it. So what one author writes takes the place of what the same wrote last, which stands in a
tag, and the rest stays. Where that is no longer to be found, because somebody has edited it, the text is added at the
end.
"""

from collections.abc import Mapping
from typing import Final

from tracking.outbox.names import MAX_TAG, text

DESCRIPTION: Final = "mlflow.note.content"
NOTE: Final = "oplstm.note"
_OURS: Final = "oplstm.described"
_LAST: Final = {DESCRIPTION: _OURS, NOTE: NOTE}
"""The tag that a record sets, and the tag with what that author wrote last."""

AUTHORS: Final = tuple(_LAST)
"""Tags of records that are parts of the description."""


def described(tags: Mapping[str, str], told: Mapping[str, str]) -> dict[str, str]:
    """The tags that a run gets.

    Args:
        tags: Those that it has.
        told: What it is told of ``AUTHORS``.
    """
    whole, found = tags.get(DESCRIPTION, ""), dict[str, str]()
    for author in AUTHORS:
        if author in told:
            whole = _merged(whole, tags.get(_LAST[author], ""), told[author])
            found[_LAST[author]] = told[author]
    return found | {DESCRIPTION: text(whole, MAX_TAG)}


def _merged(whole: str, last: str, new: str) -> str:
    if last and last in whole:
        return whole.replace(last, new, 1).strip()
    return whole if not new or new in whole else f"{whole}\n\n{new}".strip()
