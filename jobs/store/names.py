"""Names of what lies in a home. They become paths, so each is checked where it enters, from a file or a user."""

import re
from typing import Annotated, Final

from pydantic import StringConstraints

SWEEP_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
SweepName = Annotated[str, StringConstraints(pattern=rf"^{SWEEP_NAME.pattern}\z")]

MOST_TRIALS: Final = 10**9 - 1
MOST_REPLICATES: Final = 9_999

TrialName = Annotated[str, StringConstraints(pattern=r"^trial-[0-9]{4,9}(-seed-[1-9][0-9]{0,3})?\z")]
"""Such as ``trial-0003``, or ``trial-0003-seed-1`` of a replicate: of a trial's folder and, behind the sweep's, of its
MLflow run."""

PackName = Annotated[str, StringConstraints(pattern=r"^pack-[0-9]{4,9}\z")]
"""Such as ``pack-0001``: of the folder of a pack's checkpoints."""


def trial_name(number: int, replicate: int = 0) -> str:
    """The name of a trial, or of one of the replicates of its configuration, which are counted from 1."""
    return f"trial-{number:04d}" + (f"-seed-{replicate}" if replicate else "")


def pack_name(number: int) -> str:
    """The name of a pack."""
    return f"pack-{number:04d}"
