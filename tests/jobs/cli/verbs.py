"""Verbs of the command line, run in this process."""

import json

from click.testing import CliRunner

from jobs.cli.main import main


def run(*arguments):
    return CliRunner().invoke(
        main, [str(argument) for argument in arguments], catch_exceptions=False, prog_name="oplstm"
    )


def answer(*arguments):
    """The one JSON document that a verb prints."""
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def complaints(*arguments, code=2):
    """The lines of complaint of a verb that does nothing else."""
    result = run(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert all(line.startswith("oplstm: ") for line in lines), result.stderr
    return [line.removeprefix("oplstm: ") for line in lines]


def the_complaint(*arguments, code=2):
    [line] = complaints(*arguments, code=code)
    return line


def files_in(home):
    return [path for path in home.rglob("*") if path.is_file()] if home.exists() else []
