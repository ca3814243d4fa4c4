"""Errors that a user can cause. The command line prints their text and nothing else: no traceback."""

from collections.abc import Sequence
from typing import Final

LONGEST_LINE: Final = 300


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
    text = " ".join(str(error).split())
    text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= LONGEST_LINE else text[: LONGEST_LINE - 3] + "..."
