"""Mutated job files: an error of a user's, or a job; no traceback, no hang, no memory.

OPLSTM_FUZZ is how many, OPLSTM_FUZZ_SEED where they start; the seed of a case that fails makes it again.
"""

import json
import os
import random
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.jobs.jobfile.mutations import mutated

pytestmark = pytest.mark.slow

COUNT = int(os.environ.get("OPLSTM_FUZZ", "200"))
SEED = int(os.environ.get("OPLSTM_FUZZ_SEED", "0"))
BATCH = 100


@pytest.mark.parametrize("first", range(SEED, SEED + COUNT, BATCH))
def test_no_job_file_brings_more_than_an_error(first):
    seeds = range(first, min(first + BATCH, SEED + COUNT))
    print(f"seeds {seeds.start} to {seeds.stop - 1}")
    cases = [mutated(random.Random(seed)) for seed in seeds]
    text = "".join(f"{json.dumps(case)}\n" for case in cases)
    command = [sys.executable, "-m", "tests.jobs.jobfile.fuzz_worker"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=600, check=False, cwd=ROOT)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    faults = {seed: answer[0] for seed, answer in zip(seeds, answers, strict=False) if answer[0] is not None}
    if len(answers) < len(cases):
        faults[seeds[len(answers)]] = f"the process ended with {done.returncode}: {done.stderr[-2000:]}"
    said = [f"seed {seed}: {fault}\n{cases[seed - first]!r}"[:6000] for seed, fault in faults.items()]
    assert not said, "\n\n".join(said)
