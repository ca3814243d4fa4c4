"""The page of a report: HTML that is opened anywhere, without a network.

Names, parameters, notes and errors come from files and from users; whatever is text goes through ``escape``.
"""

import warnings
from html import escape
from typing import Final

from jobs.operations.reporting import sections
from jobs.operations.reporting.charts import Chart, charts
from jobs.operations.reporting.contents import Contents
from jobs.operations.reporting.markup import interval, run_link, section, stated
from jobs.operations.reporting.style import STYLE
from jobs.operations.trial_rows import half_width
from jobs.store.states import TrialState

_POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
)
"""Nothing is fetched; parallel coordinates are drawn by programs that plotly makes (eval)."""


def page(contents: Contents) -> str:
    """The whole page."""
    from plotly.offline import get_plotlyjs

    header = contents.header
    with warnings.catch_warnings(action="ignore"):  # of too few trials, which the captions say
        drawn = list(charts(contents))
    parts = [
        f"<h1>{escape(header.name)}</h1>",
        _what(contents),
        _problems(contents),
        _cards(contents),
        sections.promotion(contents),
        *map(_figure, drawn),
        sections.cost(contents),
        sections.failures(contents),
        sections.trials(contents),
        sections.job(contents),
        sections.test(contents),
    ]
    return (
        "<!DOCTYPE html>\n"
        f'<html lang="en"><head><meta charset="utf-8"><title>{escape(header.name)}: sweep report</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(_POLICY)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style>\n<script>{get_plotlyjs()}</script></head>\n<body><main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main></body></html>\n"
    )


def _what(contents: Contents) -> str:
    job = contents.header.job
    tasks = ", ".join(f"{name} {value}" for name, value in job.benchmark.items() if name != "name")
    line = f"Sweep of {job.learner} on {job.benchmark.get('name')}"
    line += f" ({tasks})" if tasks else ""
    line += f", {job.sampler.name}" + (f" and {job.pruner.name}" if job.pruner.name else "")
    own = run_link(contents, contents.run_ids.get(""), "MLflow run")
    description = f'<p class="description">{escape(job.description)}</p>' if job.description else ""
    return f'<p class="lead">{escape(line)}. {own}</p>{description}'


def _problems(contents: Contents) -> str:
    return "".join(f'<p class="warning">{escape(problem)}</p>' for problem in contents.problems)


def _cards(contents: Contents) -> str:
    state = contents.state
    counts = ", ".join(f"{count} {name}" for name, count in state.counts().items())
    leader = next(
        (trial for trial in contents.ranked if trial.state is TrialState.COMPLETE and not trial.is_warm), None
    )
    measure = f"val/{contents.header.measure.name}"
    cards = [("trials", str(len(state.trials)), counts or "none yet")]
    if leader is not None:
        cards.append((f"best {measure}", interval(leader.best, half_width(leader)), leader.name))
    if state.promotion is not None:
        held = stated(state.promotion.score_b)
        how = "chosen by hand" if state.promotion.by_hand else "picked"
        cards.append((how, escape(state.promotion.picked), f"block B, which picked nothing: {held}"))
    if hours := sum(contents.hours.values()):
        cards.append(("training", f"{hours:.3g} h", f"{len(state.packs)} packs"))
    if not state.finished:
        cards.append(("state", "not ended", "what stands here may change"))
    shown = (
        f'<div class="card"><span>{escape(name)}</span><b>{value}</b><small>{escape(note)}</small></div>'
        for name, value, note in cards
    )
    return f'<div class="cards">{"".join(shown)}</div>'


def _figure(chart: Chart) -> str:
    if chart.figure is None:
        return section(chart.title, f'<p class="absent">Not drawn: {escape(chart.why_not)}.</p>')
    from plotly.io import to_html

    drawn = to_html(
        chart.figure,
        include_plotlyjs=False,
        full_html=False,
        div_id=f"chart-{chart.name}",
        default_height=chart.height,
        config={"displaylogo": False, "responsive": True},
    )
    inner = f'<div style="min-width:{chart.width}px">{drawn}</div>'
    return section(chart.title, f'<p>{escape(chart.caption)}</p><div class="chart">{inner}</div>')
