"""The operations of the command line for Python and Jupyter: ``from jobs import api``.

Nothing is printed, no signal is handled and no process is ended; what a user can cause is raised as
``oplstm.errors.RequestError`` (nothing was started) or ``WorkError``. What is heavy is imported by the first call that
needs it.
"""

from jobs.api.going_on import extend, rerun_failed, resume, stop
from jobs.api.live import add, limit, prune
from jobs.api.models import champion, evaluate, load_model
from jobs.api.promoting import promote
from jobs.api.running import plan, sweep, train
from jobs.api.sweeps import Sweep, load_sweep, status

__all__ = [
    "Sweep", "add", "champion", "evaluate", "extend", "limit", "load_model", "load_sweep", "plan", "promote", "prune",
    "rerun_failed", "resume", "status", "stop", "sweep", "train",
]  # fmt: skip
