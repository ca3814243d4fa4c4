"""``oplstm promote``."""

import contextlib
import dataclasses
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from jobs.cli.interrupt import stop_on_interrupt
from jobs.cli.output import as_json, name_option, quiet_libraries, report, say, tracking_uri
from jobs.cli.running import announced, is_done
from oplstm.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.jobfile.sections import Replicates
    from jobs.operations.promote import Promotion
    from jobs.operations.promoting import Carried, Shown
    from jobs.promotion.selection import Choice
    from jobs.store.home import Home
    from jobs.store.promoted import Promoted
    from jobs.sweep.messages import OnProgress
    from oplstm.episodes.measure import Measure


@click.command()
@click.argument("sweep", metavar="NAME")
@click.option("--seeds", type=click.IntRange(1, 1000), help="Of the final run; by default the job's.")
@click.option(
    "--replicates",
    metavar="LEADERSxSEEDS",
    help="More seeds of the leaders first, as in 5x2, or up to 15 in a race of 10, as in 10/15; 0 for none.",
)
@name_option("the final run", "NAME-final")
@click.option("--trial", metavar="TRIAL", help="Promote this one instead of the best; without more seeds of leaders.")
@click.option(
    "--again", type=click.IntRange(min=1), metavar="K", help="K more seeds, which join those of its final run."
)
@click.option("--champion", is_flag=True, help="Make it the champion, also where the one that there is is better.")
@click.option("--dry-run", is_flag=True, help="Only say what would be picked.")
@tracking_uri
@as_json
def promote(
    sweep: str,
    seeds: int | None,
    replicates: str | None,
    name: str | None,
    trial: str | None,
    again: int | None,
    champion: bool,
    dry_run: bool,
    tracking_uri: str | None,
    json_: bool,
) -> None:
    """Pick the best configuration of sweep NAME by meta-validation, register it, and run its final run.

    The leaders are trained with more seeds first. Promoting again goes on where this was cut off, and afterwards says
    the same and trains nothing, until the sweep has gone on. The champion of another sweep is replaced by what is not
    worse by meta-validation, or with --champion by anything.
    """
    from jobs.operations.promote import Promotion
    from jobs.operations.promoting import carry
    from jobs.operations.tracking_server import chosen_uri
    from jobs.store.home import Home

    quiet_libraries()
    home, asked, uri = Home(), _replicates(replicates), chosen_uri(tracking_uri)
    promotion = Promotion.of(home.sweep(sweep), asked, chosen=trial)
    if promotion.missing is not None:
        say(f"warning: {promotion.missing}", err=True)
    if promotion.anew is not None:
        say(promotion.anew, err=True)
    if dry_run:
        _say_what_would_be(promotion, promotion.choose(home, promotion.rescorer(), seeds=seeds), as_json=json_)
        return
    carried = carry(
        home, promotion, asked=asked, again=again or 0, seeds=seeds, final=name, crown=champion, uri=uri,
        shown=_shown(home, promotion, uri, quiet=json_),
    )  # fmt: skip
    if carried.made is None:
        say(f"{sweep} stopped; go on with: oplstm promote {sweep}", err=True)
        sys.exit(1)
    _report(promotion, carried, by_trial=trial is not None, as_json=json_)


def _replicates(text: str | None) -> "Replicates | int | None":
    from jobs.jobfile.sections import Replicates

    if text is None or text == "0":
        return None if text is None else 0
    found = re.fullmatch(r"([0-9]{1,3})([x/])([0-9]{1,3})", text)
    if found is None or int(found[1]) < 2 or not 1 <= int(found[3]) <= 100:
        raise RequestError(
            "--replicates must be LEADERSxSEEDS, such as 5x2, or LEADERS/RUNS, such as 10/15, with at least 2 leaders "
            f"and at most 100 seeds or runs, or 0, got {text!r}"
        )
    count = int(found[3])
    return Replicates(leaders=int(found[1]), **{"seeds" if found[2] == "x" else "race": count})


def _say_what_would_be(promotion: "Promotion", choice: "Choice", *, as_json: bool) -> None:
    from jobs.cli.display.choice import show_choice

    more = promotion.plan.missing
    data = {**told(choice.event(), promotion.header.measure), "replicates_missing": more}

    def show() -> None:
        show_choice(choice, promotion.header.measure)
        if more:
            say(f"promote would first train {more} more seeds of the leaders, and may then pick another")

    report(data, show, as_json=as_json)


def told(made: "Promoted", measure: "Measure") -> dict[str, Any]:
    """A promotion as JSON has it."""
    from jobs.promotion import one_seed
    from jobs.store.events import encode

    data = {name: value for name, value in encode(made).items() if name not in ("kind", "event")}
    alone = one_seed.among(made.leaders, measure)
    return data | {"measure": measure.name, "one_seed_each": None if alone is None else dataclasses.asdict(alone)}


def _shown(home: "Home", promotion: "Promotion", uri: str | None, *, quiet: bool) -> "Shown":
    """On this terminal; without the table of the leaders, if ``quiet``."""
    from jobs.cli.display.choice import Working, show_choice
    from jobs.cli.display.progress import progress_bar
    from jobs.operations.promoting import Shown
    from jobs.operations.webhook import telling

    sweep, working = promotion.folder.name, Working()

    @contextlib.contextmanager
    def training(name: str) -> "Iterator[OnProgress]":
        stop_on_interrupt(home, name, go_on=f"oplstm promote {sweep}")
        if name == sweep:
            with progress_bar(f"{name} replicates") as show:
                yield show
        else:
            with telling(home, name, warn=notice), progress_bar(name) as show:
                yield announced(show, home, name, uri=uri)

    def chosen(choice: "Choice") -> None:
        if not quiet:
            show_choice(choice, promotion.header.measure)

    def notice(line: str) -> None:
        say(line, err=True)

    return Shown(training, working, working.tell, chosen, notice)


def _report(promotion: "Promotion", carried: "Carried", *, by_trial: bool, as_json: bool) -> None:
    """Say how a promotion ended; exits with 1 unless it is complete."""
    from jobs.cli.display.results import ending_lines
    from jobs.operations.status import sweep_status

    made, outcome, lines = carried.made, carried.final, list[str]()
    if made is None or outcome is None:
        return
    if promotion.made is not None:
        how = f": {made.picked}, by hand; --trial picks another" if made.by_hand and not by_trial else ""
        lines.append(f"{promotion.folder.name} was promoted before, and nothing has ended since{how}")
    status, result = sweep_status(outcome.folder), outcome.result
    data = {
        **told(made, promotion.header.measure),
        "state": status.state,
        "result": None if result is None else result.to_json(),
    }
    lines += ending_lines(status, result)
    if result is not None:
        data |= {"final_registered": carried.registered, "champion": carried.champion, "kept": carried.kept}
        foreseen = made.on_forecast(result.test.mean, result.measure, same_budget=promotion.same_budget)
        lines += [] if foreseen is None else [foreseen]
        lines.append(carried.kept or f"champion in the MLflow Model Registry: {carried.champion}")
    report(data, lambda: say(*lines), as_json=as_json)
    if not is_done(status, result):
        sys.exit(1)
