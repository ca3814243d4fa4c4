"""The verbs that look closer: ``explain``."""

import click

from jobs.cli.output import as_json, report, say


@click.command()
@click.argument("name")
@click.argument("trial")
@as_json
def explain(name: str, trial: str, json_: bool) -> None:
    """Say why TRIAL of sweep NAME ended as it did, and what trains it alone.

    TRIAL is its name, such as trial-0003, or its number.
    """
    from jobs.cli.display.explained import explanation_lines
    from jobs.operations.explain import explain as look
    from jobs.store.home import Home

    found = look(Home(), name, trial)
    report(found.to_json(), lambda: say(*explanation_lines(found)), as_json=json_)
