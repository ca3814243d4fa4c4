"""What this process has had of memory, at most."""

import mmap
import sys

import pytest
import torch

from oplstm.training.machine.memory import forget_peak, peak_bytes

CPU = torch.device("cpu")


@pytest.mark.skipif(sys.platform != "linux", reason="nobody tells elsewhere")
def test_the_peak_stays_until_it_is_forgotten():
    forget_peak(CPU)
    before = peak_bytes(CPU)
    with mmap.mmap(-1, 64 * 2**20) as pages:  # of the system, not of what an allocator has kept
        for _ in range(64):
            pages.write(b"x" * 2**20)
    high = peak_bytes(CPU)
    assert 60 * 2**20 < high - before < 100 * 2**20
    assert peak_bytes(CPU) >= high
    forget_peak(CPU)
    assert peak_bytes(CPU) < high - 50 * 2**20


def test_nobody_tells_elsewhere(monkeypatch):
    monkeypatch.setattr("oplstm.training.machine.memory._process_bytes", lambda name: "".split()[0])
    assert peak_bytes(CPU) is None
