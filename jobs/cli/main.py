"""``oplstm``: the group of all verbs."""

import contextlib
import os
import sys
from gc import set_threshold
from typing import Any

import click

from jobs.cli.comparing import compare, explain, export
from jobs.cli.completing import completion, offer
from jobs.cli.data import data
from jobs.cli.evaluating import evaluate
from jobs.cli.figures import figure, page
from jobs.cli.job_files import init, jobs, plan
from jobs.cli.keeping import archive, delete, gc, rename
from jobs.cli.live import add, limit, prune
from jobs.cli.looking import doctor, status, table, ui
from jobs.cli.output import say
from jobs.cli.promoting import promote
from jobs.cli.remarks import note, tag
from jobs.cli.running import extend, rerun_failed, resume, stop, sweep, train
from oplstm.errors import RequestError, WorkError

set_threshold(100_000, 20, 20)
"""Verbs import much and keep all of it: looking whether it could go takes an eighth of the time until they begin."""


class Verbs(click.Group):
    """Prints users' errors as one line each, without a traceback."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run a verb, and end this process."""
        try:
            return super().main(*args, **options)
        except SystemExit as end:
            if "ray" in sys.modules:
                _end_if_held(end.code)
            raise

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb."""
        try:
            return super().invoke(ctx)
        except RequestError as error:
            self._fail(error, 2)
        except (WorkError, OSError) as error:
            self._fail(error, 1)

    @staticmethod
    def _fail(error: Exception, code: int) -> None:
        text = str(error).strip("\n") or type(error).__name__
        say(*(f"oplstm: {line}" for line in text.split("\n")), err=True)
        sys.exit(code)


def _end_if_held(code: Any) -> None:
    """End this process with ``code`` if Ray would keep it: all is said and written, and servers are stopped."""
    from jobs.execution.ray_processes import is_held

    if is_held():
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):  # nobody reads it any more
                stream.flush()
        os._exit(code if isinstance(code, int) else 1)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="oplstm")
def main() -> None:
    """Hyperparameter search and experiment tracking for few-shot meta-learning.

    Everything lives under $OPLSTM_HOME (default ./oplstm-home).
    """


VERBS = (
    init, jobs, plan, train, sweep, resume, extend, rerun_failed, stop, prune, add, limit, status, explain, compare,
    promote, evaluate, table, figure, page, export, ui, doctor, note, tag, rename, archive, delete, gc, data,
    completion,
)  # fmt: skip
for verb in VERBS:
    offer(verb)
    main.add_command(verb)
