"""``oplstm promote``."""

import re
import sys
from typing import TYPE_CHECKING, Any

import click

from jobs.cli.interrupt import stop_on_interrupt
from jobs.cli.output import as_json, name_option, quiet_libraries, report, say, tracking_uri
from jobs.cli.running import announced, is_done
from oplstm.errors import RequestError

if TYPE_CHECKING:
    from jobs.jobfile.sections import Replicates
    from jobs.operations.promote import Promotion
    from jobs.promotion.selection import Choice
    from jobs.store.home import Home
    from jobs.store.promoted import Promoted


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
    dry_run: bool,
    tracking_uri: str | None,
    json_: bool,
) -> None:
    """Pick the best configuration of sweep NAME by meta-validation, register it, and run its final run.

    The leaders are trained with more seeds first. Promoting again goes on where this was cut off, and afterwards says
    the same and trains nothing, until the sweep has gone on.
    """
    from jobs.operations.promote import Promotion
    from jobs.operations.running import require_at_hand, require_original
    from jobs.operations.tracking_server import chosen_uri, tracking_server
    from jobs.operations.trust import server_of
    from jobs.store.home import Home

    quiet_libraries()
    home, asked = Home(), _replicates(replicates)
    promotion = Promotion.of(home.sweep(sweep), asked, chosen=trial)
    if promotion.missing is not None:
        say(f"warning: {promotion.missing}", err=True)
    if promotion.anew is not None:
        say(promotion.anew, err=True)
    if dry_run:
        _say_what_would_be(promotion, promotion.choose(home, promotion.rescorer(), seeds=seeds), as_json=json_)
        return
    if again and promotion.made is None:
        raise RequestError(f"{sweep} has no final run yet that seeds could join: oplstm promote {sweep}")
    require_at_hand(require_original(promotion.folder))
    home.check_writable()
    server = server_of(promotion.header, chosen_uri(tracking_uri))
    with tracking_server(home, server, wait=True) as uri:
        if promotion.made is not None:
            made = promotion.made
            how = f": {made.picked}, by hand; --trial picks another" if made.by_hand and trial is None else ""
            lines = [f"{sweep} was promoted before, and nothing has ended since{how}"]
            if name not in (None, made.final):
                raise RequestError(
                    f"{sweep} was promoted before, and its final run is {made.final}, not {name}; "
                    f"oplstm rename {made.final} {name} gives it that name"
                )
        else:
            final = None if name is None else home.new_sweep(name).name
            made, lines = _picked(home, promotion, uri, asked=asked, final=final, seeds=seeds, as_json=json_), []
        _final(home, promotion, made, seeds=seeds, more=again or 0, server=server, uri=uri, lines=lines, as_json=json_)


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
    data = {**_told(choice.event()), "replicates_missing": more}

    def show() -> None:
        show_choice(choice, promotion.header.measure)
        if more:
            say(f"promote would first train {more} more seeds of the leaders, and may then pick another")

    report(data, show, as_json=as_json)


def _told(made: "Promoted") -> dict[str, Any]:
    from jobs.store.events import encode

    return {name: value for name, value in encode(made).items() if name not in ("kind", "event")}


def _picked(
    home: "Home",
    promotion: "Promotion",
    uri: str,
    *,
    asked: "Replicates | int | None",
    final: str | None,
    seeds: int | None,
    as_json: bool,
) -> "Promoted":
    """Train the replicates that are missing, pick, and register."""
    from jobs.cli.display.choice import Working, show_choice
    from jobs.cli.display.progress import progress_bar
    from jobs.operations.promote import Promotion
    from jobs.operations.replicate import train_replicates
    from jobs.operations.reporting.tracked import track_report
    from jobs.promotion.registration import register

    folder = promotion.folder
    working = Working()
    with working:
        rescore = promotion.rescorer(working.tell)
        plan = promotion.next_plan(rescore)
    while plan.missing:
        stop_on_interrupt(home, folder.name)
        with progress_bar(f"{folder.name} replicates") as show:
            through = train_replicates(folder, plan, tracking_uri=uri, progress=show)
        if not through:
            say(f"{folder.name} stopped; go on with: oplstm promote {folder.name}", err=True)
            sys.exit(1)
        promotion = Promotion.of(folder, asked, chosen=promotion.chosen)
        with working:
            plan = promotion.next_plan(rescore)
    with working:
        choice = promotion.choose(home, rescore, seeds=seeds)
    if not as_json:
        show_choice(choice, promotion.header.measure)
    with working:
        working.tell("registering the model")
        made = register(folder, choice, uri, final=final or home.free_name(f"{folder.name}-final"))
        working.tell("writing the report")
        track_report(folder, uri)
    return made


def _final(
    home: "Home",
    promotion: "Promotion",
    made: "Promoted",
    *,
    seeds: int | None,
    more: int,
    server: str | None,
    uri: str,
    lines: list[str],
    as_json: bool,
) -> None:
    """Train the final run, register its best seed, and say how it ended."""
    from jobs.cli.display.choice import forecast_lines
    from jobs.cli.display.progress import progress_bar
    from jobs.cli.display.results import ending_lines
    from jobs.operations.promote import final_run
    from jobs.operations.reporting.tracked import track_report
    from jobs.operations.status import sweep_status
    from jobs.promotion.registration import register_final

    name = made.final or ""
    stop_on_interrupt(home, name)
    with progress_bar(name) as show:
        progress = announced(show, home, name, uri=server)
        outcome = final_run(
            home, promotion.folder, made, seeds=seeds, uri=server, progress=progress, more=more,
            notice=lambda line: say(line, err=True),
        )  # fmt: skip
    status, result = sweep_status(outcome.folder), outcome.result
    data = {**_told(made), "state": status.state, "result": None if result is None else result.to_json()}
    lines += ending_lines(status, result)
    if result is not None:
        data["champion"] = register_final(outcome.folder, result, uri, of=made)
        lines += forecast_lines(made, result, same_budget=promotion.same_budget)
        lines.append(f"champion in the MLflow Model Registry: {data['champion']}")
        track_report(promotion.folder, uri)
    report(data, lambda: say(*lines), as_json=as_json)
    if not is_done(status, result):
        sys.exit(1)
