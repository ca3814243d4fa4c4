"""How the verbs that run work end: they always report, and exit with 0 only where the work is complete."""

import contextlib
import json
import math
import shutil
import signal

import pytest

from jobs.operations.running import Outcome
from jobs.operations.webhook import ADDRESS, Webhook
from jobs.promotion.registration import Crowned
from jobs.store.events import Exhausted, Finished, encode
from jobs.store.extended import Extended
from jobs.store.scores import FinalResult, Score
from jobs.store.states import SweepKind
from tests.jobs.cli.verbs import run
from tests.jobs.formula_training import job, new_sweep, opened, train, train_everything
from tracking.journal.journal import Journal
from tracking.outbox.refusals import Refusal, RefusedFile

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")

VERBS = {
    "train": ["train", "sine-lstm", "--name", "s"],
    "sweep": ["sweep", "demo", "--name", "s"],
    "resume": ["resume", "s"],
}


def stopped(coordinator):
    train(coordinator, coordinator.next_pack())
    coordinator.folder.stop_request.touch()
    assert coordinator.next_pack() is None


def one_lost(coordinator):
    train(coordinator, coordinator.next_pack())
    coordinator.pack_failed(coordinator.next_pack().pack, "its process died")
    train_everything(coordinator)


def all_lost(coordinator):
    while (assignment := coordinator.next_pack()) is not None:
        coordinator.pack_failed(assignment.pack, "its process died")


def one_complete(coordinator):
    train(coordinator, coordinator.next_pack())
    diverge(coordinator)


def diverge(coordinator):
    while (assignment := coordinator.next_pack()) is not None:
        train(coordinator, assignment, lambda run, milestone: math.nan if milestone else 1.0)


ENDINGS = {  # what happens, the exit code, the state, what a web address is told, and what a person is told to do next
    "complete": (train_everything, 0, "complete", "done", "promote the best with: oplstm promote s"),
    "one complete, others diverged": (one_complete, 0, "complete", "done", "promote the best with: oplstm promote s"),
    "all diverged": (diverge, 1, "complete", "failed", "no run completed"),
    "stopped": (stopped, 1, "stopped", "stopped", "go on with: oplstm resume s"),
    "one lost": (one_lost, 1, "incomplete", "done", "trial-0001 was lost: its process died"),
    "all lost": (all_lost, 1, "incomplete", "failed", "trial-0002 was lost: its process died"),
}


@pytest.fixture
def work_becomes(home, monkeypatch):
    """Makes the sweep `s` by what happens in it, and has the verbs run that instead of their work."""

    def prepare(happens, **outcome):
        coordinator = opened(new_sweep(home / "sweeps" / "s", job("rates", trials=3)))
        happens(coordinator)
        made = Outcome(coordinator.folder, coordinator.progress(), **{"waiting": 0, **outcome})
        coordinator.close(flush_seconds=0)

        def work(*_, progress, **__):
            progress(made.progress)
            print("Ray says something")
            return made

        for place in ("start.start_here", "start.start_on_ray", "control.resume"):
            monkeypatch.setattr(f"jobs.operations.{place}", work)

    return prepare


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("verb", VERBS)
def test_the_exit_code_says_whether_the_work_is_complete(verb, ending, work_becomes, monkeypatch):
    happens, code, state, event, advice = ENDINGS[ending]
    work_becomes(happens)
    told = []
    monkeypatch.setenv(ADDRESS, "http://127.0.0.1:1/")
    monkeypatch.setattr(Webhook, "post", lambda _, message: told.append(message))
    data = run(*VERBS[verb], "--json")
    report = json.loads(data.stdout)
    assert (data.exit_code, report["name"], report["state"]) == (code, "s", state)
    assert [(message["event"], message.get("error")) for message in told] == [
        (event, "no run completed" if event == "failed" else None)
    ]
    assert (report["records_waiting"], len(report["trials"])) == (0, sum(report["counts"].values()))
    words = run(*VERBS[verb])
    assert words.exit_code == code
    assert words.stdout.startswith(f"s {state}: ")
    assert advice in words.stdout
    assert "Ray says something" in words.stderr
    assert words.stderr.startswith("s: watch it with: oplstm status s --watch; in MLflow: oplstm ui\n")


def test_records_that_wait_are_said_and_do_no_harm_to_a_sweep_that_is_complete(work_becomes):
    work_becomes(train_everything, waiting=7)
    for more in ([], ["--json"]):
        result = run("sweep", "demo", "--name", "s", *more)
        assert result.exit_code == 0
        assert "7 records wait for MLflow: oplstm doctor s ships them" in result.stderr
    assert json.loads(result.stdout)["records_waiting"] == 7


@pytest.mark.slow
def test_what_mlflow_refused_is_counted_at_the_end(work_becomes, home):
    work_becomes(train_everything)
    result = run("sweep", "demo", "--name", "s")
    assert "refused" not in result.stderr
    file = RefusedFile(home / "sweeps" / "s" / "journal.jsonl.refused")
    file.add(Refusal("id/trial-0000", "metric", "too long", 3))
    file.save()
    for verb in VERBS.values():
        result = run(*verb)
        assert result.exit_code == 0
        assert "3 records were refused by MLflow or deleted there: oplstm doctor s lists them" in result.stderr


RESULT = FinalResult("loss", Score(0.04, 0.002, 0.02, (0.03, 0.05), 4_000), {})


@pytest.fixture
def final_run(home, trained_once, monkeypatch):
    """The sweep `small` at home; its final run ends with a result, or without one, or is stopped with a signal."""
    shutil.copytree(trained_once.path, home / "sweeps" / "small")
    (home / "sweeps" / "small-final").mkdir()  # an earlier one

    def prepare(result, *, ends=True, champion=None):
        def start_here(at, new, *, progress):
            assert (new.kind, new.job.seeds, new.of, new.tracking_uri) == ("final", 2, "id-of-small", None)
            of = new_sweep(at.sweeps / new.name, new.job, kind=SweepKind.FINAL, of=new.of)
            if ends:
                with Journal(of.journal) as journal:
                    journal.append([encode(Finished())])
            else:
                signal.raise_signal(signal.SIGTERM)
                assert of.stop_request.exists()
            return Outcome(of, None, waiting=0, result=result)

        def register(folder, choice, uri, *, final, crown):
            made = choice.event(registered=f"at-{uri}:1", final=final)
            with Journal(folder.journal) as journal:
                journal.append([encode(made)])
            return made

        monkeypatch.setattr("jobs.operations.promote.start_here", start_here)
        monkeypatch.setattr("jobs.operations.promote.final_result", lambda folder, state: result)

        def register_final(*_, of, crown):
            return Crowned("at-uri:2", None if crown or champion is None else f"{champion} stays the champion")

        monkeypatch.setattr("jobs.operations.promoting.register", register)
        monkeypatch.setattr("jobs.operations.promoting.register_final", register_final)
        monkeypatch.setattr("jobs.operations.promoting.track_report", lambda *_, **__: 0)
        monkeypatch.setattr("jobs.operations.promoting.tracking_server", lambda *_, **__: contextlib.nullcontext("uri"))

    return prepare


def test_a_promotion_ends_with_its_final_result(final_run):
    final_run(RESULT)
    done = run("promote", "small", "--seeds", 2, "--json")
    report = json.loads(done.stdout)
    assert (done.exit_code, report["registered"], report["final"]) == (0, "at-uri:1", "small-final-2")
    assert (report["champion"], report["result"]) == ("at-uri:2", RESULT.to_json())
    assert report["picked"] in {leader["trial"] for leader in report["leaders"]}


def test_promoting_again_says_the_same_and_trains_nothing(final_run, monkeypatch):
    final_run(RESULT)
    first = json.loads(run("promote", "small", "--seeds", 2, "--json").stdout)
    monkeypatch.setattr("jobs.operations.promote.start_here", None)
    assert json.loads(run("promote", "small", "--json").stdout) == first
    words = run("promote", "small")
    assert words.exit_code == 0
    before, ended, *result = words.stdout.splitlines()
    assert before == "small was promoted before, and nothing has ended since"
    assert ended == "small-final-2 complete: "
    assert result[0] == "small-final-2: test MSE 0.0400"
    assert result[-1] == "champion in the MLflow Model Registry: at-uri:2"
    named = run("promote", "small", "--name", "mine").stderr
    assert "small was promoted before, and its final run is small-final-2, not mine; oplstm rename" in named
    more = run("promote", "small", "--seeds", 3)
    assert more.exit_code == 2
    assert "small-final-2, the final run of small, has 2 seeds, and 3 are asked for" in more.stderr


def test_a_champion_that_is_better_stays_and_the_way_to_replace_it_is_said(final_run):
    final_run(RESULT, champion="at-uri:1")
    report = json.loads(run("promote", "small", "--seeds", 2, "--json").stdout)
    line = "at-uri:1 stays the champion; oplstm promote small --champion makes it the champion all the same"
    assert (report["champion"], report["final_registered"], report["kept"]) == (None, "at-uri:2", line)
    kept = run("promote", "small")
    assert (kept.exit_code, kept.stdout.splitlines()[-1]) == (0, line)
    crowned = run("promote", "small", "--champion").stdout.splitlines()
    assert crowned[0].startswith("small was promoted before") and crowned[-1].endswith("Model Registry: at-uri:2")


def test_more_seeds_join_the_final_run_that_there_is(final_run, monkeypatch):
    final_run(RESULT)
    no_run = "oplstm: small has no final run yet that seeds could join: oplstm promote small"
    assert run("promote", "small", "--again", 2).stderr.splitlines()[-1] == no_run
    first = json.loads(run("promote", "small", "--seeds", 2, "--json").stdout)
    asked = []

    def join(home, name, *, count, means, progress):
        asked.append((name, count))
        return Outcome(home.sweep(name), None, waiting=0, result=RESULT)

    monkeypatch.setattr("jobs.operations.promote.more_seeds", join)
    assert json.loads(run("promote", "small", "--again", 3, "--json").stdout) == first
    assert asked == [("small-final-2", 3)]
    more = run("promote", "small", "--seeds", 3)
    assert more.stderr.endswith("3 are asked for; oplstm promote small --again 1 adds those that are missing\n")


def test_a_promotion_of_a_sweep_that_has_gone_on_picks_anew_on_fresh_tasks_and_says_so(final_run, home):
    final_run(RESULT)
    first = json.loads(run("promote", "small", "--seeds", 2, "--json").stdout)
    with Journal(home / "sweeps" / "small" / "journal.jsonl") as journal:
        journal.append([encode(Extended(trials=4, budget=None, goes_on=())), encode(Exhausted()), encode(Finished())])
    assert "name 'small' is taken" in run("promote", "small", "--name", "small").stderr
    done = run("promote", "small", "--seeds", 2, "--name", "mine", "--json")
    again = json.loads(done.stdout)
    assert f"small was promoted before ({first['picked']}) and has gone on since: it is promoted anew" in done.stderr
    assert again["final"] == "mine"
    assert again["score_b"] != first["score_b"]


@pytest.mark.parametrize("given", ["5", "1x2", "5x0", "5/0", "5x101", "x", "5x2x1", "-1"])
def test_replicates_are_said_as_leaders_and_seeds(final_run, given):
    done = run("promote", "small", f"--replicates={given}")
    assert done.exit_code == 2
    last = done.stderr.splitlines()[-1]
    assert "--replicates must be LEADERSxSEEDS, such as 5x2, or LEADERS/RUNS, such as 10/15, " in last
    assert last.endswith(f"got {given!r}")


def test_a_promotion_whose_final_run_has_ended_without_a_result_fails_and_does_not_say_resume(final_run):
    final_run(None)
    done = run("promote", "small", "--seeds", 2)
    assert done.exit_code == 1
    why = "a seed did not complete, so there is no result; oplstm status small-final-2 says why"
    assert done.stdout.endswith(f"small-final-2 complete: \n{why}\n")


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_promotion_whose_final_run_stops_says_so_and_fails(more, final_run):
    final_run(None, ends=False)
    done = run("promote", "small", "--seeds", 2, *more)
    assert done.exit_code == 1
    if more:
        report = json.loads(done.stdout)
        assert (report["final"], report["state"], report["result"]) == ("small-final-2", "stopped", None)
    else:
        assert done.stdout.endswith("small-final-2 stopped: \ngo on with: oplstm resume small-final-2\n")
