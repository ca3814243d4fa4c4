"""Ctrl-C, SIGTERM and SIGHUP while work runs: the first asks it to stop cleanly, the second ends this process."""

import contextlib
import signal
import sys
from types import FrameType
from typing import Final

import click

from jobs.store.home import Home

SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""From a keyboard, from a batch system at the end of its time, from a terminal that closes."""

AGAIN_AFTER: Final = 0.1
"""Seconds until an interrupt that was lost is raised again."""


def stop_on_interrupt(home: Home, name: str, *, go_on: str) -> None:
    """Let the first signal ask the sweep to stop cleanly, and the second end this process.

    Before the sweep has a folder nothing was started, and the first ends this process too.

    Args:
        home: Where the sweep is.
        name: Of it.
        go_on: The command that goes on after the second.
    """

    def handle(signum: int, frame: FrameType | None) -> None:
        folder = home.sweep_folder(name)
        if folder.stop_request.exists():
            _say(f"ended at once; go on with: {go_on}")
        if folder.stop_request.exists() or not folder.path.is_dir():
            signal.default_int_handler(signum, frame)
        folder.stop_request.touch()
        _say("stopping at the next update; once more to stop at once")

    for number in SIGNALS:
        signal.signal(number, handle)
    raise_lost_interrupts_again()


def _say(line: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone
        click.echo(f"\n{line}", err=True)


def raise_lost_interrupts_again() -> None:
    """Raise KeyboardInterrupt anew where it was raised in code that cannot pass it on.

    A finalizer, a callback from C and the import of a compiled module print what is raised in them and go on: who
    pressed Ctrl-C at such a moment would wait for good.
    """
    told = sys.unraisablehook

    def hook(lost: "sys.UnraisableHookArgs") -> None:
        if isinstance(lost.exc_value, KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, AGAIN_AFTER)
        else:
            told(lost)

    signal.signal(signal.SIGALRM, signal.default_int_handler)
    sys.unraisablehook = hook
