"""Ctrl-C and SIGTERM while work runs."""

import signal
import time

import pytest

from jobs.cli.interrupt import stop_on_interrupt
from jobs.store.home import Home
from tests.jobs.formula_training import job, new_sweep


def test_the_first_interrupt_asks_the_sweep_to_stop_and_the_second_ends_the_process(home, capsys):
    stop_on_interrupt(Home(), "s", go_on="oplstm resume s")
    with pytest.raises(KeyboardInterrupt):  # nothing is there to stop
        signal.raise_signal(signal.SIGINT)
    folder = new_sweep(home / "sweeps" / "s", job())
    signal.raise_signal(signal.SIGTERM)
    assert folder.stop_request.exists()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    assert capsys.readouterr().err.split("\n")[1::2] == [
        "stopping at the next update; once more to stop at once",
        "ended at once; go on with: oplstm resume s",
    ]


def test_an_interrupt_that_came_where_none_can_be_passed_on_comes_again(home):
    class Finalized:
        def __del__(self):
            signal.raise_signal(signal.SIGTERM)

    stop_on_interrupt(Home(), "s", go_on="oplstm resume s")
    Finalized()
    with pytest.raises(KeyboardInterrupt):
        time.sleep(30)
