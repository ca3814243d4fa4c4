"""Freed memory stays with the process, which has to be one of its own: the setting holds until it ends."""

import subprocess
import sys

import pytest

pytestmark = [pytest.mark.integration, pytest.mark.skipif(sys.platform != "linux", reason="of glibc")]

CODE = """
import sys
from pathlib import Path
import torch
from oplstm.training.machine.allocator import keep_freed_memory

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

assert sys.argv[1] == "freed" or keep_freed_memory()
before = resident()
large = torch.ones(64 << 20)  # 256 MiB, more than any threshold of glibc
del large
print(resident() - before)
"""


@pytest.mark.parametrize(("how", "stays"), [("kept", True), ("freed", False)])
def test_a_large_freed_tensor_stays_with_the_process(how, stays):
    left = int(subprocess.run([sys.executable, "-c", CODE, how], capture_output=True, check=True, text=True).stdout)
    assert (left > 200 << 20) is stays
