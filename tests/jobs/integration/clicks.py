"""The ways through MLflow's pages, from the front page and by clicks alone."""

from tests.browser import Browser, Page


def to_the_experiment(page: Page, uri: str, experiment: str) -> None:
    """Home, and the experiment, which shows its runs and no traces."""
    page.open(uri)
    page.click(experiment, within="a")
    page.shows("Run Name", "Model training")


def to_a_curve(page: Page, sweep: str, trial: str) -> None:
    """From the experiment: the view of the sweep, a trial with its description, its validation curve."""
    page.click("Views")
    page.click(sweep, within="[role=menuitem] span")
    page.shows("val/best", "val/loss", "oplstm.state")
    page.click(f"{sweep}/{trial}", within=".ag-row a")
    page.shows(f"of sweep {sweep}", "oplstm train ")
    page.click("Model metrics")
    page.wait("!!document.querySelector('.js-plotly-plot .scatterlayer .trace')")


def to_the_report(browser: Browser, page: Page, sweep: str) -> None:
    """From the experiment: the run of the sweep, and by its description the report."""
    page.click(sweep, within=".ag-row a")
    page.shows("Picked:")
    page.click("Show more", within="button")  # what MLflow folds fades out over its last lines
    page.click("Report", within="a")
    _shows_the_report(browser.newest(page))


def to_the_champion(page: Page, uri: str, model: str) -> None:
    """Home, the registry, the registered model, and its version that is the champion."""
    page.open(uri)
    page.click("Model registry", within="a")
    page.click(model, within="a")
    version = (
        r"one => one.textContent.startsWith('Version') && /@\s*champion/.test(one.closest('[role=row]')?.textContent)"
    )
    page.click_on(f"[...document.querySelectorAll('a')].find({version})")
    page.shows("Source Run", "champion", "Its sweep:")


def to_its_report(browser: Browser, page: Page) -> None:
    """From a version of a registered model, by its description, the report of the sweep that it came from."""
    page.click("report", within="a")
    _shows_the_report(browser.newest(page))


def _shows_the_report(page: Page) -> None:
    page.wait("location.hash.includes('/artifacts/report/report.html')")
    page.wait("!!document.querySelector('iframe.mlflow-html-iframe')")
