"""How long to wait for a server that does not take what it is given."""

import random
import time
from email.utils import parsedate_to_datetime
from typing import Final

from tracking.server.client import error_code

FIRST_DELAY: Final = 0.5
LONGEST_DELAY: Final = 30.0
LONGEST_HURRIED_DELAY: Final = 2.0
LONGEST_ASKED_DELAY: Final = 600.0
"""Whatever a server asks for: it may be wrong, or be mended sooner."""
ASKING_SECONDS: Final = 10.0
_BUSY_CODES: Final = ("REQUEST_LIMIT_EXCEEDED", "TEMPORARILY_UNAVAILABLE")
_BUSY_STATUS: Final = (429, 503)
_CHEAP_CALL: Final = "/api/2.0/mlflow/experiments/search?max_results=1"


class Patience:
    """The waits between attempts that fail: each twice as long as the last."""

    def __init__(self) -> None:
        self._delay = FIRST_DELAY

    def reset(self) -> None:
        """An attempt did not fail."""
        self._delay = FIRST_DELAY

    def next_delay(self, *, hurried: bool) -> float:
        """Seconds until the next attempt; ``hurried`` where somebody waits for the end."""
        longest = LONGEST_HURRIED_DELAY if hurried else LONGEST_DELAY
        delay, self._delay = min(self._delay, longest), min(2 * self._delay, LONGEST_DELAY)
        return delay * random.uniform(0.8, 1.2)


def is_busy(error: Exception) -> bool:
    """Whether the server, or a proxy before it, says that there were too many calls or that it is not ready."""
    return error_code(error) in _BUSY_CODES or any(f"{status} error" in str(error) for status in _BUSY_STATUS)


def asked_delay(uri: str) -> float:
    """The seconds that a busy server asks to be left alone (its ``Retry-After``); 0 if it does not, or is well again.

    MLflow's client drops the header of an answer that it makes an error of, so a cheap call asks for it.
    """
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        creds = get_default_host_creds(uri)
        reply = http_request(
            creds, _CHEAP_CALL, "GET", max_retries=0, timeout=ASKING_SECONDS, raise_on_status=False,
            respect_retry_after_header=False,
        )  # fmt: skip
    except Exception:  # it does not answer at all
        return 0.0
    return in_seconds(reply.headers.get("Retry-After", "")) if reply.status_code in _BUSY_STATUS else 0.0


def in_seconds(retry_after: str) -> float:
    """A ``Retry-After``: seconds, or a date; 0 for what is neither."""
    try:
        if retry_after.strip().isdigit():
            wanted = float(retry_after)
        else:
            wanted = parsedate_to_datetime(retry_after).timestamp() - time.time()
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    return min(max(wanted, 0.0), LONGEST_ASKED_DELAY)
