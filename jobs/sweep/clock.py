"""The time of what happens in a sweep: it never goes back, though the machine's clock may be set back."""

import time
from typing import Final

MOST_AHEAD: Final = 86_400.0
"""Seconds: what was written later than that from now has no clock's time."""


class Clock:
    """Unix seconds that only go forward, at the pace of seconds where the machine's clock has gone back.

    MLflow's charts and the order of points follow from timestamps, and a run must not end before it began.

    Args:
        after: When something was last written, by a machine whose clock may have been ahead.
    """

    def __init__(self, after: float = 0.0) -> None:
        self._last = after if after < time.time() + MOST_AHEAD else 0.0
        self._since = time.monotonic()

    def now(self) -> float:
        """The time."""
        since = time.monotonic()
        self._last = max(time.time(), self._last + since - self._since)
        self._since = since
        return self._last
