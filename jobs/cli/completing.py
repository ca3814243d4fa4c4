"""``oplstm completion``, and what the shell is offered for an argument: jobs, sweeps of the home, their trials.

It is asked at every press of a key: nothing is read here but names of files.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import click
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ShellComplete, ZshComplete

from jobs.cli.output import as_json, report

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_VARIABLE: Final = "_OPLSTM_COMPLETE"
_SHELLS: Final[dict[str, type[ShellComplete]]] = {"bash": BashComplete, "zsh": ZshComplete, "fish": FishComplete}
_SHIPPED: Final = Path(__file__).parent.parent / "jobfile" / "files"


class Offered(click.types.StringParamType):
    """A text, for which the shell is offered some."""

    def names(self, ctx: click.Context, incomplete: str) -> Iterable[str]:
        """What is offered."""
        raise NotImplementedError

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """Those that go on from what is there."""
        found = sorted({name for name in self.names(ctx, incomplete) if name.startswith(incomplete)})
        return [CompletionItem(name) for name in found]


class Sweeps(Offered):
    """Sweeps, trainings and final runs of the home."""

    def names(self, ctx: click.Context, incomplete: str) -> Iterable[str]:
        """See ``Offered``."""
        return (path.parent.name for path in _home().glob("sweeps/*/sweep.json") if _NAME.fullmatch(path.parent.name))


class Jobs(Offered):
    """Job files that ship, and those of the user."""

    def names(self, ctx: click.Context, incomplete: str) -> Iterable[str]:
        """See ``Offered``."""
        folder = Path(incomplete) if incomplete.endswith("/") else Path(incomplete).parent
        before = incomplete[: len(incomplete) - len(incomplete.rpartition("/")[2])]
        yield from (f"{before}{path.name}" for path in folder.glob("*.y*ml"))
        yield from (path.stem for path in _SHIPPED.glob("*.yaml"))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[Any]]:
        """As ``Offered``; where none is left, the shell's own offers of files and folders."""
        return super().shell_complete(ctx, param, incomplete) or [CompletionItem(incomplete, type="file")]


class Trials(Offered):
    """Trials of the sweep that is named before, as far as they have files."""

    def names(self, ctx: click.Context, incomplete: str) -> Iterable[str]:
        """See ``Offered``."""
        return _trials(str(ctx.params.get("name") or ""))


class Models(Offered):
    """Sweeps, and with a slash behind one of them its trials."""

    def names(self, ctx: click.Context, incomplete: str) -> Iterable[str]:
        """See ``Offered``."""
        sweep, slash, _ = incomplete.partition("/")
        if slash:
            return (f"{sweep}/{trial}" for trial in _trials(sweep))
        return (f"{name}/" for name in Sweeps().names(ctx, incomplete))


_OFFERS: Final = {
    "name": Sweeps(),
    "names": Sweeps(),
    "job": Jobs(),
    "trial": Trials(),
    "words": Trials(),
    "model": Models(),
}
"""By the names of arguments, which mean the same in all verbs; and of options, but that a ``--name`` is a new one."""


def offer(verb: click.Command) -> None:
    """Let the shell offer something for the arguments of a verb, and of the verbs in it."""
    for inner in verb.commands.values() if isinstance(verb, click.Group) else ():
        offer(inner)
    for param in verb.params:
        wanted = _OFFERS.get(param.name or "")
        is_new = isinstance(param, click.Option) and param.name == "name"
        if wanted is not None and param.type is click.STRING and not is_new:
            param.type = wanted


def _trials(sweep: str) -> Iterator[str]:
    if _NAME.fullmatch(sweep):
        yield from (path.name for path in _home().glob(f"sweeps/{sweep}/trials/trial-*"))


def _home() -> Path:
    return Path(os.environ.get("OPLSTM_HOME") or "oplstm-home")


@click.command()
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@as_json
@click.pass_context
def completion(ctx: click.Context, shell: str, json_: bool) -> None:
    """Print what makes SHELL complete verbs, options, job files, sweeps and trials.

    For bash, in ~/.bashrc: eval "$(oplstm completion bash)"; for zsh the same, after compinit; for fish: oplstm
    completion fish | source.
    """
    script = _SHELLS[shell](ctx.find_root().command, {}, "oplstm", _VARIABLE).source()
    report({"shell": shell, "script": script}, lambda: click.echo(script), as_json=json_)
