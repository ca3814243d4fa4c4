"""The reference of the command line, from click's own description of every verb."""

import inspect
import re
from collections.abc import Iterator

import click

from docs.site.markdown import prose, table
from jobs.cli.main import main


def verbs() -> str:
    """Every verb: its usage, its description, its arguments and options."""
    return "\n\n".join(_described(path, command) for path, command in commands(main, ("oplstm",)))


def commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands below a group, with the words that call them."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        elif not command.hidden:
            yield (*path, name), command


def _described(path: tuple[str, ...], command: click.Command) -> str:
    context = click.Context(command, info_name=" ".join(path), **main.context_settings)  # a command keeps its first
    usage = re.sub(r"\s+", " ", command.get_usage(context).removeprefix("Usage: "))
    paragraphs = [prose(text) for text in inspect.cleandoc(command.help or "").split("\n\n")]
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    rows = [_row(option, context) for option in options]
    parts = [f"## {' '.join(path)}", f"```text\n{usage}\n```", *paragraphs]
    return "\n\n".join([*parts, table(["option", "meaning"], rows)] if rows else parts)


def _row(option: click.Option, context: click.Context) -> list[str]:
    names = [*option.opts, *option.secondary_opts]
    taken = "" if option.is_flag else " " + option.make_metavar(context)
    extra = option.get_help_extra(context)
    notes = [f"default: {extra['default']}"] if extra.get("default") else []
    if option.multiple:
        notes.append("may be given several times")
    meaning = prose(option.help or "") + (f" ({'; '.join(notes)})" if notes else "")
    return [", ".join(f"`{name}{taken}`" for name in names), meaning]
