"""Reads mutated job files from stdin and checks each as `oplstm plan` would; what goes wrong goes to stdout."""

import json
import resource
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

import optuna

from jobs.jobfile.reading import parse_job
from jobs.sweep.proposals import Proposals
from oplstm.errors import RequestError

SECONDS, MEBIBYTES, LONGEST_LINE, MOST_LINES = 10, 400, 1500, 101
"""Seconds are of this process, with what the first case imports: what else the machine does is no fault of a job's."""


def peak() -> float:
    """The most memory that this program has taken, in MiB; getrusage's includes what its parent had when it forked."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def hang(signum: int, frame: object) -> None:
    """Ends what takes too long."""
    raise TimeoutError(f"more than {SECONDS} s of processor time")


def fault(text: str, settings: list[str]) -> str | None:
    """What goes wrong with one job file, or None."""
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        job = parse_job(text, "job.yaml", settings)
        json.dumps(job.model_dump(mode="json"), allow_nan=True)
        Proposals(job).ask()
    except RequestError as error:
        if len(error.problems) > MOST_LINES or max(map(len, error.problems)) > LONGEST_LINE:
            return f"{len(error.problems)} lines of up to {max(map(len, error.problems))} characters"
    except BaseException:
        return traceback.format_exc()[-3000:]
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return f"{peak():.0f} MiB" if peak() > MEBIBYTES else None


def main() -> None:
    """Check the cases on stdin, one JSON document a line, and answer each with one."""
    resource.setrlimit(resource.RLIMIT_AS, (16 << 30, 16 << 30))
    signal.signal(signal.SIGPROF, hang)
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for line in sys.stdin:
        began = time.process_time()
        found = fault(*json.loads(line))
        print(json.dumps([found, time.process_time() - began, peak()]), flush=True)


if __name__ == "__main__":
    main()
