"""Ctrl-C, SIGTERM and SIGHUP while work runs: the first asks it to stop cleanly, the second ends this process."""

import contextlib
import signal
from types import FrameType
from typing import Final

import click

from jobs.store.home import Home

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""From a keyboard, from a batch system at the end of its time, from a terminal that closes."""


def stop_on_interrupt(home: Home, name: str) -> None:
    """Let the first signal ask the sweep to stop cleanly, and the second end this process.

    Before the sweep has a folder nothing was started, and the first ends this process too.
    """

    def handle(signum: int, frame: FrameType | None) -> None:
        folder = home.sweep_folder(name)
        if folder.stop_request.exists() or not folder.path.is_dir():
            signal.default_int_handler(signum, frame)
        folder.stop_request.touch()
        with contextlib.suppress(OSError):  # the terminal may be gone
            click.echo("\nstopping at the next update; once more to stop at once", err=True)

    for number in SIGNALS:
        signal.signal(number, handle)
