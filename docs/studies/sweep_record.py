"""What a sweep tried, as a small file from which the site makes its tables and curves.

    python -m docs.studies.sweep_record NAME docs/results/sweeps/NAME.json --command 'oplstm sweep ...'

writes the job, the commands that made it, the code version, and every configuration of NAME in ``$OPLSTM_HOME`` with
its best validation value, the best first, and more seeds of leaders.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jobs.operations.status import sweep_status
from jobs.store.header import Header
from jobs.store.home import Home


def recorded(home: Home, name: str, commands: Sequence[str]) -> dict[str, Any]:
    """The record of a sweep.

    Args:
        home: Where it is.
        name: Its name.
        commands: That made it.

    Raises:
        RequestError: There is no such sweep, or it cannot be read.
    """
    folder = home.sweep(name)
    header, status = Header.read(folder), sweep_status(folder).to_json(trials=True)
    kept = ("name", "state", "best", "params")
    return {
        "commands": list(commands),
        "job": header.job.model_dump(mode="json"),
        "provenance": header.provenance,
        "counts": status["counts"],
        "trials": [{key: trial[key] for key in kept} for trial in status["trials"]],
        "replicates": [{key: trial[key] for key in kept[:3]} for trial in status["replicates"]],
    }


def main() -> None:
    """Read, and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("out", type=Path)
    parser.add_argument("--command", action="append", required=True)
    given = parser.parse_args()
    given.out.write_text(json.dumps(recorded(Home(), given.name, given.command), indent=1) + "\n")


if __name__ == "__main__":
    main()
