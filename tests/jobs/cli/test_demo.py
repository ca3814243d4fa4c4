"""`make demo` is three verbs of the command line, and ends where one of them fails."""

import contextlib
import sys

import click
import pytest
from click.testing import CliRunner

from jobs.cli import demo
from jobs.cli.main import main
from oplstm.errors import RequestError

STEPS = [["sweep", "demo", "--name", "demo-2"], ["promote", "demo-2"], ["table", "1"]]


@pytest.fixture
def verbs(home, monkeypatch):
    """What the demo's verbs were called with; one of them ends as `verbs.ends` says."""

    class Heard(list):
        ends = ("none", None)

    heard = Heard()

    @click.pass_context
    def verb(context, words):
        heard.append([context.info_name, *words])
        name, how = heard.ends
        if context.info_name == name:
            how()

    for name, *_ in STEPS:
        rest = click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)
        any_options = {"ignore_unknown_options": True}
        monkeypatch.setitem(main.commands, name, click.Command(name, any_options, verb, params=[rest]))
    monkeypatch.setattr(
        "jobs.operations.tracking_server.tracking_server", lambda home, uri: contextlib.nullcontext("http://server")
    )
    (home / "sweeps" / "demo").mkdir(parents=True)  # an earlier demo
    return heard


def test_the_demo_goes_all_the_way_by_the_verbs_that_it_shows(verbs):
    result = CliRunner().invoke(demo.main, [])
    assert result.exit_code == 0, result.output
    assert verbs == STEPS
    assert [line[2:].split()[1:] for line in result.stdout.splitlines() if line.startswith("$ ")] == STEPS
    assert "http://server" in result.stdout
    assert result.stdout.splitlines()[-1].endswith("look at it with: make ui")


def stops():
    sys.exit(1)


def is_refused():
    raise RequestError("no")


@pytest.mark.parametrize(("how", "code"), [(stops, 1), (is_refused, 2)])
@pytest.mark.parametrize("step", range(3))
def test_the_demo_ends_where_a_step_does(step, how, code, verbs):
    verbs.ends = (STEPS[step][0], how)
    result = CliRunner().invoke(demo.main, [])
    assert result.exit_code == code
    assert verbs == STEPS[: step + 1]
    assert "make ui" not in result.stdout
