"""Errors that a user can cause. The command line prints their text and nothing else: no traceback."""

from collections.abc import Sequence
from typing import Any, Final

LONGEST_LINE: Final = 300
LONGEST_VALUE: Final = 100


class RequestError(Exception):
    """The request was wrong and nothing was started (exit code 2).

    Args:
        problems: One line each, naming the value met, its place and the mend.
    """

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class WorkError(Exception):
    """The request was right and the work failed (exit code 1)."""


def one_line(error: BaseException) -> str:
    """What an error says as one line of at most 300 characters; its type where it says nothing."""
    text = message(error)
    return shortened(type(error).__name__ if text == type(error).__name__ else f"{type(error).__name__}: {text}")


def message(error: BaseException) -> str:
    """``one_line`` without the type, where the error says anything."""
    try:
        text = str(error)
    except Exception:  # of a class of the user's
        text = ""
    return shortened(" ".join(text.split()) or type(error).__name__)


def shown(value: Any) -> str:
    """A value as errors name it: its ``repr`` in at most 100 characters, whatever it is."""
    try:
        # of something long its beginning is enough: the whole may take longer to write down than there is time
        text = repr(value[:LONGEST_VALUE] if isinstance(value, str | bytes | list | tuple) else value)
    except Exception:  # a number of 5,000 digits, a class of the user's
        text = f"a value of type {type(value).__name__} that cannot be shown"
    return shortened(text, LONGEST_VALUE)


def name_of(value: Any) -> str:
    """What should be a name, as text: itself, or as errors show it where it is none."""
    return value if isinstance(value, str) else shown(value)


def quoted(text: str, longest: int = LONGEST_VALUE) -> str:
    """A text as it is, unless it is too long or would not show where it ends: then as errors show it."""
    return text if text.isprintable() and len(text) <= longest else shown(text)


def shortened(text: str, longest: int = LONGEST_LINE) -> str:
    """The text, its end cut off where it is too long."""
    return text if len(text) <= longest else text[: longest - 3] + "..."
