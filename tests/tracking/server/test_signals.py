"""Signals are held back, and none is lost where another cuts short the lines that put the handlers back."""

import signal
from collections.abc import Iterator

import pytest

from tracking.server import signals
from tracking.server.signals import postponed


@pytest.fixture
def heard() -> Iterator[list[int]]:
    """The signals that the process hears, in their order."""
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    for number in before:
        signal.signal(number, lambda number, _: came.append(number))
    yield came
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signals_do_after_the_block_what_they_would_have_done(heard: list[int]) -> None:
    with postponed():
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        assert heard == []
    assert heard == [signal.SIGTERM, signal.SIGINT]
    signal.raise_signal(signal.SIGHUP)
    assert heard == [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


def test_an_interrupt_while_the_handlers_are_put_back_makes_no_other_signal_deaf(
    heard: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    put = signal.signal

    def interrupted(number: int, handler: object) -> object:
        result = put(number, handler)  # type: ignore[arg-type]
        if handler is signal.default_int_handler:
            signal.raise_signal(signal.SIGINT)
        return result

    with pytest.raises(KeyboardInterrupt), postponed():
        monkeypatch.setattr(signals.signal, "signal", interrupted)
    monkeypatch.undo()
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGHUP)
    assert heard == [signal.SIGTERM, signal.SIGHUP]
