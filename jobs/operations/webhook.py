"""Telling a web address how long work goes: that it is done, has failed or stopped, or that nothing comes any more."""

import contextlib
import http.client
import json
import os
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from jobs.operations.status import sweep_status
from jobs.store.home import Home, SweepFolder
from oplstm.errors import RequestError, WorkError, message

ADDRESS: Final = "OPLSTM_WEBHOOK"
STALLED: Final = "OPLSTM_STALLED_MINUTES"
STALLED_MINUTES: Final = 30.0
WAITS: Final = (1.0, 4.0, 16.0)
"""Seconds before each further try."""
TIMEOUT: Final = 10.0
"""Seconds of a try."""
PATIENCE: Final = 30.0
"""Seconds that the end of the work waits for what was not delivered yet."""
LOOKS: Final = 5.0
"""Seconds between two looks for something new."""


@dataclass(frozen=True)
class Webhook:
    """Where to tell.

    Attributes:
        address: It is often a secret, so it stands in the environment alone, and in no message.
        stalled: Seconds without anything new after which that is told.
    """

    address: str
    stalled: float

    @classmethod
    def from_environment(cls) -> "Webhook | None":
        """That which the environment names.

        Raises:
            RequestError: It names one that cannot be.
        """
        address = os.environ.get(ADDRESS, "")
        if not address:
            return None
        try:
            parts = urlsplit(address)
            sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            sound = False
        if not sound or any(letter <= " " for letter in address):
            raise RequestError(f"{ADDRESS} is no address that a message can be posted to: http(s)://HOST/...")
        minutes = os.environ.get(STALLED, str(STALLED_MINUTES))
        try:
            stalled = 60 * float(minutes)
        except ValueError:
            stalled = 0.0
        if not 0 < stalled < 1e9:
            raise RequestError(f"{STALLED} must be a number of minutes above 0, got {minutes!r}")
        return cls(address, stalled)

    @property
    def shown(self) -> str:
        """As much of the address as may be said."""
        return urlsplit(self.address).hostname or ""

    def post(self, told: dict[str, Any]) -> None:
        """Deliver a message, or raise what kept it.

        Raises:
            OSError: The address did not answer, or not with a 2xx.
        """
        request = urllib.request.Request(  # noqa: S310 (http or https, checked above)
            self.address, json.dumps(told).encode(), {"Content-Type": "application/json", "User-Agent": "oplstm"}
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT):  # noqa: S310
                pass
        except http.client.HTTPException as error:
            raise OSError(type(error).__name__) from error


@contextlib.contextmanager
def telling(home: Home, name: str, *, warn: Callable[[str], None]) -> Iterator[None]:
    """Tell the web address of the environment, if it names one, of the work in here; the work never waits for it.

    Args:
        home: Where.
        name: Of the sweep, training or final run.
        warn: Told, in a line, what could not be delivered.

    Raises:
        RequestError: The environment names no address that can be.
    """
    webhook = Webhook.from_environment()
    if webhook is None:
        yield
        return
    teller = _Teller(webhook, home.sweep_folder(name))
    teller.start()
    try:
        yield
    except BaseException as error:
        refused = isinstance(error, RequestError)  # nothing was started, and its user is there and sees why
        teller.end(None if refused else {"event": "failed" if isinstance(error, Exception) else "stopped",
                                         "error": message(error)})  # fmt: skip
        raise
    else:
        teller.end(teller.outcome())
    finally:
        if teller.undelivered:
            warn(f"the web address at {webhook.shown} ({ADDRESS}) was not told: {teller.undelivered}")


class _Teller:
    """Delivers in a thread of its own, which also looks whether anything new comes."""

    def __init__(self, webhook: Webhook, folder: SweepFolder) -> None:
        self.undelivered = ""
        self._webhook, self._folder = webhook, folder
        self._last: dict[str, Any] | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="webhook", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self, last: dict[str, Any] | None) -> None:
        """Deliver a last message, for which some time is given."""
        self._last = last
        self._ended.set()
        self._thread.join(PATIENCE)
        if self._thread.is_alive():
            self.undelivered = f"no answer in {PATIENCE:.0f} s"

    def outcome(self) -> dict[str, Any]:
        """What became of the work, by its files."""
        status = self._status()
        if status.get("state") not in ("complete", "incomplete"):
            return {"event": "stopped"}
        return {"event": "done"} if "complete" in status["counts"] else {"event": "failed", "error": "no run completed"}

    def _status(self) -> dict[str, Any]:
        """How the sweep is; nothing where its files cannot be read, which `status` says."""
        with contextlib.suppress(RequestError, WorkError, OSError):
            return sweep_status(self._folder).to_json(trials=False)
        return {}

    def _run(self) -> None:
        seen, since, told = -1, time.monotonic(), False
        while not self._ended.wait(min(LOOKS, self._webhook.stalled / 4)):
            size = self._size()
            if size != seen:
                seen, since, told = size, time.monotonic(), False
            elif not told and time.monotonic() - since >= self._webhook.stalled:
                told = True
                self._deliver({"event": "stalled", "minutes": round((time.monotonic() - since) / 60, 2)})
        if self._last is not None:
            self._deliver(self._last)

    def _size(self) -> int:
        """Of the journal: whatever happens, each point among it, makes it longer."""
        try:
            return self._folder.journal.stat().st_size
        except OSError:
            return -1

    def _overtaken(self, event: dict[str, Any], wait: float) -> bool:
        """Let the time before another try pass; whether the work ends meanwhile, which is told instead."""
        if event is not self._last:
            return self._ended.wait(wait)
        time.sleep(wait)
        return False

    def _deliver(self, event: dict[str, Any]) -> None:
        told = {**event, "name": self._folder.name, "time": time.time(), "status": self._status()}
        for wait in (*WAITS, None):
            try:
                self._webhook.post(told)
            except OSError as error:
                self.undelivered = message(error)
                if wait is None or self._overtaken(event, wait):
                    return
            else:
                self.undelivered = ""
                return
