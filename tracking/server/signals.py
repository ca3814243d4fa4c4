"""Keeps a signal that ends the process from leaving something behind. Signals reach the main thread alone."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_Handler = Callable[[int, FrameType | None], object] | int | None


@contextlib.contextmanager
def interrupting() -> Iterator[None]:
    """In the block SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does, where they would end the process.

    A handler that was set, and `nohup`, stay as they are.
    """
    if not _in_main_thread():
        yield
        return
    changed = [number for number in _ENDING if signal.getsignal(number) == signal.SIG_DFL]
    for number in changed:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number in changed:
            if signal.getsignal(number) is signal.default_int_handler:
                signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def postponed() -> Iterator[None]:
    """Hold SIGINT, SIGTERM and SIGHUP back until the block has ended; then they do what they would have done."""
    if not _in_main_thread():
        yield
        return
    came: list[int] = []
    handlers: dict[int, _Handler] = {number: signal.getsignal(number) for number in _ENDING}
    replaced = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    is_over = False

    def hold(number: int, frame: FrameType | None) -> None:
        handler = handlers[number]
        if not is_over:
            came.append(number)
        elif callable(handler):  # where a signal cut short the lines that put the handlers back
            handler(number, frame)
        else:
            signal.signal(number, handler)
            signal.raise_signal(number)

    for number in replaced:
        signal.signal(number, hold)
    try:
        yield
    finally:
        is_over = True
        for number, handler in replaced.items():
            signal.signal(number, handler)
        for one in came:
            signal.raise_signal(one)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
