"""Sixty-four processes want one sweep at once: exactly one gets it, and each of the others is told so in one line."""

import os
import signal

import pytest

from jobs.operations.running import is_running, owned
from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.sweep.coordinator import Coordinator
from oplstm.errors import RequestError
from tests.jobs.formula_training import decisions, job, new_sweep, no_server, stopped_in_its_first_pack

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_waiting_for_the_disk")]

PROCESSES = 64
WON = "won"


def race(contend):
    """What each process says that calls ``contend(say, wait)`` when all do; ``wait`` returns when all have spoken."""
    start, begin = os.pipe()
    over, end = os.pipe()
    heard, told = os.pipe()
    children = []
    for _ in range(PROCESSES):
        if (pid := os.fork()) == 0:
            signal.alarm(50)
            os.close(begin)
            os.close(end)
            os.read(start, 1)
            try:
                contend(lambda line: os.write(told, f"{line!r}\n".encode()), lambda: os.read(over, 1))
            except BaseException as error:
                os.write(told, f"{error!r}\n".encode())
            os._exit(0)
        children.append(pid)
    for descriptor in (start, over, told, begin):
        os.close(descriptor)
    with os.fdopen(heard) as file:
        said = [file.readline().strip().strip("'\"") for _ in children]
    os.close(end)
    for pid in children:
        os.waitpid(pid, 0)
    return said


def one_won(said):
    """Whether exactly one did; returns what the others were told."""
    assert said.count(WON) == 1, said
    return {line for line in said if line != WON}


def test_one_makes_a_sweep_of_a_name(tmp_path):
    header = Header.read(new_sweep(tmp_path / "elsewhere" / "s", job()))
    folder = SweepFolder(tmp_path / "sweeps" / "s")

    def contend(say, wait):
        try:
            header.write(folder)
            with owned(folder):
                say(WON)
                wait()
        except RequestError as error:
            say(error)

    lines = one_won(race(contend))
    assert len(lines) == 1 and f"name 's' is taken ({folder.path}); use another --name" in lines.pop()
    assert Header.read(folder) == header
    assert {path.name for path in folder.path.iterdir()} == {"sweep.json", "sweep.json.lock"}
    assert not is_running(folder)


@pytest.mark.parametrize("hold", ["sweep", "coordinator"])
def test_one_goes_on_with_a_sweep(hold, tmp_path):
    folder = stopped_in_its_first_pack(tmp_path / "s")
    before = decisions(folder)

    def contend(say, wait):
        try:
            if hold == "sweep":
                with owned(folder):
                    say(WON)
                    wait()
            else:
                coordinator = Coordinator(folder, no_server)
                say(WON)
                wait()
                coordinator.close(flush_seconds=0)
        except RequestError as error:
            say(error)

    lines = one_won(race(contend))
    assert lines and all(
        "s is running; oplstm stop s stops it" in line or "is in use by process " in line for line in lines
    )
    assert not is_running(folder)
    assert decisions(folder) == before
