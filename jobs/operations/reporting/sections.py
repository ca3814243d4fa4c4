"""What stands in words and tables in a report: the choice and how sure it is, cost, failures, trials, job, test."""

import math
from html import escape
from typing import Any, Final

from jobs.operations.reporting.contents import Contents, FinalRun
from jobs.operations.reporting.files import command, job_yaml
from jobs.operations.reporting.markup import (
    Html,
    bullets,
    cell,
    model_link,
    names,
    number,
    run_link,
    section,
    stated,
    table,
)
from jobs.operations.trial_rows import PARAMETER
from jobs.store.memory import Memory
from jobs.store.promoted import LeaderScores, Promoted
from jobs.store.scores import Score

_TRAINING: Final = ("tasks", "updates", "max_hours")
"""What of a budget is training."""
_MOST_FAILURES: Final = 200
_OPEN_UP_TO: Final = 50  # trials
_IN_MIB: Final = "peak memory, MiB"
_LATER: Final = "; so is, since then, the seed of the final run that is best by validation"


def promotion(contents: Contents) -> str:
    """Ties, seeds and the forecast: validation alone."""
    made, lines = contents.state.promotion, list[Html]()
    standings = contents.standings
    if standings:
        weights = [one.name for one in standings if one.weights_tied]
        lines.append(
            f"<b>{len(weights)} of {len(standings)}</b> trained weights may be as good as the best (95%, over tasks): "
            + names(weights)
        )
    if made is None:
        if not lines:
            return ""
        lines.append(
            f"Not promoted yet: <code>oplstm promote {escape(contents.header.name)}</code> trains more seeds of the "
            "leaders, picks by their means on fresh validation tasks, and says how sure that is."
        )
        return section("How sure is that?", bullets(lines))
    if made.seed_variance is None or made.tied is None:
        lines.append("How much seeds matter is unknown, so nothing can be said of configurations.")
    else:
        spread = made.seed_variance
        source = "replicates of this sweep" if spread.source == "replicates" else spread.source
        sd = math.sqrt(max(spread.variance, 0.0))
        lines.append(
            f"Standard deviation over seeds: <b>{sd:.4f}</b> ({source}, {spread.degrees:.0f} degrees of freedom)"
        )
        among = f" of {len(standings)}" if standings else ""
        lines.append(
            f"<b>{len(made.tied)}{among}</b> configurations may be as good as the picked one (95%, over tasks and "
            f"seeds): {names(made.tied)}"
        )
    if made.forecast is not None:
        lines.append(
            f"Forecast of the final run's {contents.header.measure.name}: <b>{stated(made.forecast)}</b> "
            "(95%; beside the result at the end of this page)"
        )
        if _other_budget(contents):
            lines.append("The final run has another budget than the sweep, and the forecast is for that of the sweep.")
    if made.registered is not None:
        later = "" if contents.final is None or contents.final.result is None else _LATER
        lines.append(f"Registered as {model_link(contents, made.registered)}{later}")
    if made.final is not None:
        run = None if contents.final is None else contents.final.run_id
        lines.append(f"Final run: <b>{escape(made.final)}</b> {run_link(contents, run, 'MLflow run')}")
    heads = ["trial", "meta-validation", "behind the picked", "block A (picks)", "its runs on block A", ""]
    rows = [
        [
            escape(leader.trial),
            stated(leader.validation),
            stated(leader.behind),
            stated(leader.score_a),
            ", ".join(number(seed) for seed in leader.seeds),
            "<b>picked</b>" if leader.trial == made.picked else "tied" if _is_tied(made, leader) else "",
        ]
        for leader in made.leaders
    ]
    return section("What was picked, and how sure that is", bullets(lines) + table(heads, rows))


def _other_budget(contents: Contents) -> bool:
    job = contents.header.job
    return any(job.final.budget.get(name, job.budget.get(name)) != job.budget.get(name) for name in _TRAINING)


def _is_tied(made: Promoted, leader: LeaderScores) -> bool:
    """Its configuration or, where nothing can be said of that, its weights."""
    return leader.tied if made.tied is None else leader.trial in made.tied


def cost(contents: Contents) -> str:
    """What was spent."""
    state, hours = contents.state, contents.hours
    own = [hours[trial.name] for trial in state.trials.values() if trial.name in hours]
    more = [hours[name] for name in state.replicates if name in hours]
    largest = max((len(pack.trials) for pack in state.packs.values()), default=0)
    lines = [
        f"{len(own)} trials trained for <b>{sum(own):.4g} hours</b>, {sum(own) / max(len(own), 1):.3g} each; "
        "the hours of a pack are shared by its runs, validation is left out",
        f"{len(more)} replicates: <b>{sum(more):.4g} hours</b>" if more else "",
        f"{len(state.packs)} packs, the largest of {largest} runs, on "
        + escape(", ".join(_devices(contents)) or "an unknown device"),
        f"{len(state.outgrown) or 'No'} pack{'s' * (len(state.outgrown) > 1)} ran out of memory",
        _memory(contents),
    ]
    return section("Cost and memory", bullets(line for line in lines if line))


def _memory(contents: Contents) -> Html:
    """Runs of a pack share a process, so that none has memory of its own."""
    most = Memory.most(*(trial.memory for trial in contents.state.by_name.values()))
    if most is None:
        return "How much memory was taken is unknown"
    return (
        f"The process of a pack took at most <b>{number(most.peak / 2**20)} MiB</b>, for {most.sharing} "
        f"{'run' if most.sharing == 1 else 'runs'}; the table of trials has the most of each trial's pack up to the "
        "trial's end, and how many runs shared it"
    )


def _devices(contents: Contents) -> list[str]:
    return sorted({pack.device["oplstm.device"] for pack in contents.state.packs.values() if pack.device})


def failures(contents: Contents) -> str:
    """What diverged or failed, and why."""
    failures = contents.failures
    if not failures:
        return section("Failures", "<p>None: no trial diverged or failed.</p>")
    rows = [[escape(one.name), escape(one.state), escape(one.note)] for one in failures[:_MOST_FAILURES]]
    rest = len(failures) - len(rows)
    more = f"<p>And {rest} more, in the table of trials.</p>" if rest else ""
    return section("Failures", table(["trial", "state", "reason"], rows) + more)


def trials(contents: Contents) -> str:
    """The trial table."""
    rows = contents.rows()
    if not rows:
        return section("Trials", "<p>None yet.</p>")
    left_out = {"replicate_of", "mlflow_run", "updates", "pack"}
    keys = [key for key in rows[0] if key not in left_out]
    heads = [_IN_MIB if key == "peak_memory" else key.removeprefix(PARAMETER) for key in keys]
    body = [[_shown(key, row[key]) for key in keys] for row in rows]
    links = {name: run_link(contents, run_id, name) for name, run_id in contents.run_ids.items() if name}
    for cells, row in zip(body, rows, strict=True):
        cells[0] = links.get(row["trial"], cells[0])
    opened = " open" if len(rows) <= _OPEN_UP_TO else ""
    summary = f"<summary>{len(rows)} trials and replicates, best meta-validation first</summary>"
    return section("Trials", f"<details{opened}>{summary}{table(heads, body)}</details>")


def _shown(key: str, value: Any) -> Html:
    return cell(value / 2**20 if key == "peak_memory" and value is not None else value)


def job(contents: Contents) -> str:
    """The job file, and the command that runs it once more."""
    header = contents.header
    made = ", ".join(f"{name.rpartition('.')[2]} {value}" for name, value in sorted(header.provenance.items()))
    return section(
        "The job, and how to run it again",
        "<p>The job as it was read, with everything that was set over it. It lies beside this page in MLflow.</p>"
        f"<pre>{escape(command(header))}</pre>"
        f"<details open><summary>Job file</summary><pre>{escape(job_yaml(header))}</pre></details>"
        f'<p class="small">Made with {escape(made)}.</p>',
    )


def test(contents: Contents) -> str:
    """Test scores, the last of all and closed: who looks at them before picking has picked by them."""
    final, made = contents.final, contents.state.promotion
    if final is None or made is None:
        return ""
    if final.result is None:
        counts = ", ".join(f"{count} {name}" for name, count in final.state.counts().items())
        body = f"<p>{escape(final.header.name)} has no result yet: {escape(counts or 'not begun')}.</p>"
    else:
        body = _result(contents, final)
    summary = "<summary>Open when nothing is left to decide: nothing here may choose a trial or a parameter</summary>"
    return section("Test scores of the final run", f'<details class="test">{summary}{body}</details>')


def _result(contents: Contents, final: FinalRun) -> str:
    result, made = final.result, contents.state.promotion
    if result is None or made is None:
        return ""
    lines = list[Html]()
    test = result.test
    if said := made.on_forecast(test.mean, result.measure, same_budget=not _other_budget(contents)):
        lines.append(escape(said.capitalize()))
    if result.diverged:
        lines.append(f"Diverged, and tested with the best weights from before: {names(result.diverged)}")
    scores = {f"test {result.measure}": test} | {f"{name} (another domain)": one for name, one in result.cross.items()}
    heads = ["", "mean", "± over tasks", "± over seeds", "seeds"]
    rows = [[escape(name), *_score(score)] for name, score in scores.items()]
    return (
        f"<p>{escape(final.header.name)}, configuration of {escape(made.picked)}. "
        f"{run_link(contents, final.run_id, 'MLflow run')}</p>" + bullets(lines) + table(heads, rows)
    )


def _score(score: Score) -> list[Html]:
    means = ", ".join(map(number, score.seed_means))
    return [number(score.mean), number(score.ci95_tasks), number(score.ci95_seeds), means]
