"""What it costs to refuse a job file that asks for too much."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.jobs.jobfile.test_limits import JOB, LINES, SETTINGS

pytestmark = pytest.mark.integration

PROBE = """
import json, pathlib, sys, time
from jobs.jobfile.reading import parse_job
from oplstm.errors import RequestError
def peak():
    return int(pathlib.Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024
cases = json.load(sys.stdin)
parse_job(cases[0][0], "job.yaml")  # imports
seconds, before = [], peak()
for text, settings in cases[1:]:
    began = time.process_time()
    try:
        parse_job(text, "job.yaml", settings)
    except RequestError:
        seconds.append(time.process_time() - began)
print(json.dumps([len(seconds), max(seconds), before, peak()]))
"""


def test_all_of_it_takes_neither_time_nor_memory():
    cases = [(JOB, []), *((f"{JOB}{line}\n", []) for line in LINES), *((JOB, [text]) for text in SETTINGS)]
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", PROBE], input=json.dumps(cases), capture_output=True,
                          text=True, check=True, cwd=ROOT)  # fmt: skip
    refused, seconds, before, after = json.loads(done.stdout.splitlines()[-1])
    assert refused == len(cases) - 1
    assert seconds < 2
    assert after < 300 or after - before < 40, (before, after)
