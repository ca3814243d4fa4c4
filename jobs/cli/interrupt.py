"""Ctrl-C and SIGTERM while work runs: the first asks it to stop cleanly, the second ends this process."""

import signal
from types import FrameType

import click

from jobs.store.home import Home


def stop_on_interrupt(home: Home, name: str) -> None:
    """Let the first Ctrl-C ask the sweep to stop cleanly, and the second end this process."""

    def handle(signum: int, frame: FrameType | None) -> None:
        request = home.sweeps / name / "stop"
        if request.exists() or not request.parent.is_dir():
            signal.default_int_handler(signum, frame)
        request.touch()
        click.echo("\nstopping at the next update; once more to stop at once", err=True)

    for number in (signal.SIGINT, signal.SIGTERM):  # a batch system ends its time with SIGTERM
        signal.signal(number, handle)
