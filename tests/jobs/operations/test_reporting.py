"""The report of a sweep: what it says, what it never says, and that nothing can break it."""

import contextlib
import csv
import io
import shutil
from dataclasses import replace
from html.parser import HTMLParser

import pytest
import yaml

from jobs.jobfile.schema import Job
from jobs.operations.control import resume
from jobs.operations.reporting import page as pages
from jobs.operations.reporting.charts import charts
from jobs.operations.reporting.contents import Contents
from jobs.operations.reporting.files import job_yaml, trials_csv
from jobs.operations.reporting.tracked import has_report, track_report, write_report
from jobs.store.events import Asked, Ended, Packed, Started, Validated
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.intervals import StatedInterval
from jobs.store.promoted import LeaderScores, Promoted, StatedSpread
from jobs.store.state import SweepState
from jobs.store.states import SweepKind, TrialState
from oplstm.errors import RequestError
from tests.jobs.formula_training import events, finish, job, new_sweep, stopped_in_its_first_pack
from tests.journal_lines import groups_in

drawn = pytest.mark.integration
"""Optuna's figures: they import scikit-learn, which takes longer than the test."""
NOWHERE = "http://127.0.0.1:1"
HOSTILE = '"><script>alert(5)</script><img src=x onerror=alert(6)>'


class Parsed(HTMLParser):
    """A page as a browser sees it: its elements with their attributes, its text, its headings in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text, self.headings, self._open = "", list[str](), ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open = tag

    def handle_data(self, data):
        if self._open == "script":
            self.scripts.append(data)
        elif self._open != "style":
            self.text += data
        if self._open == "h2":
            self.headings.append(data)

    def handle_endtag(self, tag):
        self._open = ""


@pytest.fixture
def page(monkeypatch):
    """Makes a page without plotly.js, whose five megabytes say nothing here."""
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "/* plotly.js */")
    return lambda contents: Parsed(pages.page(contents))


@pytest.fixture
def ended(tmp_path, no_waiting_for_the_disk) -> SweepFolder:
    """Trials of which one diverged."""
    folder = new_sweep(tmp_path / "sweeps" / "ended", job(trials=6, enqueue=[{"lr": 0.09}], description="Why & how."))
    finish(folder)
    return folder


def promoted(contents: Contents) -> Contents:
    """The same after a promotion in which replicates said how much seeds matter."""
    first, second = (trial.name for trial in contents.ranked[:2])
    some = StatedInterval(0.25, 0.125)
    leaders = tuple(
        LeaderScores(trial=name, validation=some, behind=some, tied=False, score_a=some, seeds=(0.25, None))
        for name in (first, second)
    )
    event = Promoted(
        picked=first, score_b=some, leaders=leaders, tied=(first, second), forecast=StatedInterval(0.3125, 0.0625),
        seed_variance=StatedSpread(variance=0.0625, degrees=7.0, source="replicates"), registered="tests:3",
        final="ended-final",
    )  # fmt: skip
    contents.state.apply(event)
    return contents


@drawn
def test_it_says_what_was_tried_and_draws_it(ended, page):
    seen = page(Contents.of(ended))
    assert seen.headings == [
        "How sure is that?", "Optimisation history", "Learning curves of the leaders", "Tuning curve",
        "Importance of the parameters", "Parallel coordinates", "Slices",
        "Contour of the two most important parameters", "Cost and memory", "Failures", "Trials",
        "The job, and how to run it again",
    ][1:]  # fmt: skip
    drawn = {attributes.get("id") for _, attributes in seen.elements} - {None}
    assert drawn == {f"chart-{name}" for name in ("history", "curves", "tuning", "importance", "parallel", "slices")}
    assert "Not drawn: it takes two parameters and four trials." in seen.text
    assert "Why & how." in seen.text and "oplstm sweep tests.yaml --name ended-again" in seen.text
    assert "how the trials stand is not shown: WorkError:" in seen.text  # these trials have no files


@drawn
def test_nothing_is_fetched_and_the_same_sweep_gives_the_same_bytes(ended, tmp_path):
    one, other = tmp_path / "one.html", tmp_path / "other.html"
    write_report(ended, one)
    write_report(ended, other)
    text = one.read_bytes()
    assert text == other.read_bytes()
    assert text.count(b"plotly.js v") == 1 and len(text) < 6_000_000
    seen = Parsed(text.decode())
    assert not [attributes for _, attributes in seen.elements if {"src", "href", "srcset"} & set(attributes)]
    policy = dict(seen.elements)["meta"]
    [policy] = [one["content"] for tag, one in seen.elements if tag == "meta" and "http-equiv" in one]
    assert policy.startswith("default-src 'none'") and "http" not in policy


@drawn
def test_a_promotion_is_told_with_its_ties_and_the_test_comes_last_and_closed(small_sweep, page):
    contents = promoted(Contents.of(small_sweep))
    seen = page(contents)
    for told in (
        "3 trained weights may be as good", "Standard deviation over seeds: ", "0.2500", "2 of 3",
        "0.3125 ± 0.062", "Registered as tests:3", "picked", "tied",
    ):  # fmt: skip
        assert told in seen.text, told
    assert "Test scores of the final run" not in seen.headings  # there is none yet


@drawn
def test_whatever_comes_from_files_and_users_is_text(tmp_path, no_waiting_for_the_disk, page):
    folder = new_sweep(tmp_path / "sweeps" / "s", job("hostile", trials=12, description=HOSTILE))
    finish(folder)
    contents = Contents.of(folder)
    failed = contents.state.trials[0]
    failed.note, failed.state = HOSTILE, TrialState.FAILED
    run_ids = {"": HOSTILE, "trial-0001": HOSTILE, "trial-0000": "1"}
    contents = replace(
        contents,
        header=replace(contents.header, provenance={HOSTILE: HOSTILE}),
        problems=(HOSTILE,),
        run_ids=run_ids,
        server='http://host/"onmouseover="alert(7)',
    )
    seen = page(promoted(contents))
    assert {tag for tag, _ in seen.elements} <= set(
        "html head meta title style script body main h1 h2 p a div span b small section ul li code table thead tbody "
        "tr th td details summary pre".split()
    )
    assert {name for _, attributes in seen.elements for name in attributes} <= set(
        "lang charset http-equiv content name class style id href rel open".split()
    )
    links = [attributes["href"] for tag, attributes in seen.elements if tag == "a"]
    assert links and all(link.startswith('http://host/"onmouseover="alert(7)/#/') for link in links)
    assert len(seen.scripts) == sum(tag == "script" for tag, _ in seen.elements)
    assert HOSTILE in seen.text and "<script>alert(4)</script>" in seen.text
    drawn = "".join(seen.scripts)
    assert "alert(1)" in drawn and not any(tag in drawn for tag in ("<img", "<a ", "<b>", "\\u003cimg", "\\u003ca "))
    elsewhere = replace(contents, server="javascript:alert(8)//")
    assert not [tag for tag, _ in page(elsewhere).elements if tag == "a"]


def never_begun(path):
    return new_sweep(path, job())


def one_trial(path):
    folder = new_sweep(path, job(trials=1))
    finish(folder)
    return folder


def all_diverged(path):
    folder = new_sweep(path, job(fixed={"lr": 0.3}))
    finish(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("make", [never_begun, stopped_in_its_first_pack, one_trial, all_diverged])
def test_a_sweep_without_much_to_draw_says_why(make, tmp_path, no_waiting_for_the_disk, page):
    contents = Contents.of(make(tmp_path / "sweeps" / "s"))
    seen = page(contents)
    assert len(list(charts(contents))) == 7
    assert "Not drawn: it takes two completed trials with different results and a parameter that varies." in seen.text
    assert "cannot be drawn" not in seen.text
    assert ("1 diverged" in seen.text) == (make is all_diverged)


@pytest.mark.slow
def test_pruned_trials_and_values_that_are_no_numbers_are_left_out_of_the_figures(ended, page):
    contents = Contents.of(ended)
    for trial in contents.state.trials.values():
        trial.state = TrialState.PRUNED
    assert "Not drawn: no trial has completed." in page(contents).text
    for trial in contents.state.trials.values():
        trial.state = TrialState.COMPLETE
        trial.points = [point | {"val/loss": float("nan"), "val/best": float("nan")} for point in trial.points]
    assert "Not drawn: no trial has completed." in page(contents).text


def test_the_table_and_the_job_beside_it(ended):
    contents = Contents.of(ended)
    rows = list(csv.DictReader(io.StringIO(trials_csv(contents))))
    assert [row["trial"] for row in rows] == [trial.name for trial in contents.ranked]
    assert float(rows[0]["val/loss"]) == contents.ranked[0].best
    assert {float(row["param.lr"]) for row in rows} == {trial.params["lr"] for trial in contents.ranked}
    assert not [name for name in rows[0] if "test" in name]
    assert Job.model_validate(yaml.safe_load(job_yaml(contents.header))) == contents.header.job


@pytest.fixture
def trained(tmp_path, no_waiting_for_the_disk) -> SweepFolder:
    return one_trial(tmp_path / "sweeps" / "trained")


@pytest.mark.slow
def test_it_is_logged_once_for_each_content(trained):
    assert track_report(trained, NOWHERE, wait=False) > 0
    assert sorted(path.name for path in trained.report.iterdir()) == ["report.html", "tests.yaml", "trials.csv"]
    text = trained.journal.read_bytes()
    [tags, artifact] = groups_in(text)[-1]
    assert (artifact["op"], artifact["path"], artifact["folder"]) == ("artifact", "report", "report")
    assert set(tags["tags"]) == {"oplstm.report", "mlflow.note.content"}
    shutil.rmtree(trained.report)
    track_report(trained, NOWHERE, wait=False)
    assert trained.journal.read_bytes() == text and trained.report.is_dir()


@pytest.mark.slow
@pytest.mark.parametrize("half", [False, True])
def test_a_sweep_that_was_killed_before_its_report_gets_it_from_resume(half, trained, monkeypatch):
    """Killed before its report was there, or before the journal tells MLflow of it."""
    monkeypatch.setattr("jobs.operations.control.tracking_server", lambda *_, **__: contextlib.nullcontext(NOWHERE))
    monkeypatch.setattr("jobs.operations.reporting.tracked.SHIP_SECONDS", 0.0)
    if half:
        trained.report.mkdir()
    said: list[str] = []

    def go_on():
        return resume(Home(trained.home), "trained", progress=print, notice=said.append)

    assert not has_report(trained)
    assert go_on().waiting > 0
    assert said == ["trained has ended, and its report was missing: it is made now"]
    assert has_report(trained) and (trained.report / "report.html").is_file()
    with pytest.raises(RequestError, match="trained has ended; nothing is left to resume"):
        go_on()


def test_a_report_that_cannot_be_made_is_one_line(trained, monkeypatch, capsys):
    def broken(contents):
        raise ZeroDivisionError("of\nthe drawer")

    monkeypatch.setattr("jobs.operations.reporting.tracked.page", broken)
    before = trained.journal.read_bytes()
    assert track_report(trained, NOWHERE) == 0
    line = "the report of trained was not made: ZeroDivisionError: of the drawer"
    assert capsys.readouterr().err == f"oplstm: {line}\n"
    assert trained.pack_log.read_text().splitlines()[-1] == line
    assert trained.journal.read_bytes() == before and not trained.report.exists()


def test_only_a_sweep_has_one(tmp_path):
    final = new_sweep(tmp_path / "sweeps" / "f", job(None, trials=None), kind=SweepKind.FINAL, of="another")
    with pytest.raises(RequestError, match="f is a final run; report takes a sweep"):
        write_report(final, tmp_path / "f.html")
    with pytest.raises(RequestError, match="there is no folder"):
        write_report(final, tmp_path / "nowhere" / "f.html")


@pytest.mark.slow
def test_a_thousand_trials_stay_small(ended):
    [asked] = [event for event in events(ended) if isinstance(event, Asked)][:1]
    header = Header.read(ended)
    state = SweepState(header.measure)
    for number in range(1000):
        trial, pack = f"trial-{number:04d}", f"pack-{number:04d}"
        params = {"lr": 1e-4 * 1.007**number, **{f"p{place}": (number * (place + 7)) % 97 / 97 for place in range(7)}}
        state.apply(Asked(trial=number, params=params, run=asked.run))
        state.apply(Packed(pack=pack, trials=(trial,)))
        state.apply(Started(pack=pack, device={}))
        for update in range(30):
            value = (params["p0"] + 0.1) / (1 + update)
            metrics = {"val/loss": value, "val/best": value, "val/ci95": 0.01, "tasks_seen": 4.0 * update}
            state.apply(Validated(trial=trial, update=update, milestone=4 * update, metrics=metrics, prune=False))
        state.apply(Ended(trial=trial, state=TrialState.COMPLETE, update=29, best_update=29, metrics={}, note=""))
    ranked = tuple(sorted(state.trials.values(), key=lambda trial: trial.cost))
    contents = Contents(header, state, ranked, {}, (), None, {}, (), None)
    text = pages.page(contents)
    assert len(text.encode()) < 8_000_000
    assert "Not drawn" not in text and "Of 120 of the 1000 completed trials" in text
