"""``oplstm evaluate``."""

import click

from jobs.cli.output import as_json, plugin, quiet_libraries, report, say, tracking_uri


@click.command()
@click.argument("model")
@click.option("--dataset", help="Of the tasks; that of the training by default.")
@click.option("--shots", type=click.IntRange(1), help="Support points, of a class where there are classes.")
@click.option("--ways", type=click.IntRange(2), help="Classes a task, for learners without one output a class.")
@click.option("--queries", type=click.IntRange(1), help="Query points, of a class where there are classes.")
@click.option(
    "--passes", type=click.IntRange(1), help="Over the support set, or steps of gradient descent; as in its own test."
)
@click.option("--tasks", type=click.IntRange(2, 100_000), default=2000, show_default=True, help="How many.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of the tasks.")
@plugin
@tracking_uri
@as_json
def evaluate(
    model: str,
    dataset: str | None,
    shots: int | None,
    ways: int | None,
    queries: int | None,
    passes: int | None,
    tasks: int,
    seed: int,
    plugins: tuple[str, ...],
    tracking_uri: str | None,
    json_: bool,
) -> None:
    """Score MODEL on test tasks of your choice.

    MODEL is a trial, SWEEP/TRIAL, or a registered model: NAME (its champion), NAME@ALIAS or NAME:VERSION.
    """
    from jobs.cli.display.results import interval
    from jobs.operations.evaluate import Tasks
    from jobs.operations.evaluate import evaluate as score
    from jobs.operations.tracking_server import chosen_uri
    from jobs.store.home import Home

    quiet_libraries()
    on = Tasks(dataset=dataset, shots=shots, ways=ways, queries=queries, count=tasks, seed=seed)
    found = score(Home(), model, on, passes=passes, uri=chosen_uri(tracking_uri), plugins=plugins)
    asked = ", ".join(f"{name}={value}" for name, value in found.benchmark.items() if name != "name" and value)
    what = f"{found.model} on {found.benchmark['name']} ({asked}; T={found.passes})"
    line = f"{what}: {found.measure} {interval(found.score)} (95% over {found.tasks} tasks)"
    report(found.to_json(), lambda: say(line), as_json=json_)
