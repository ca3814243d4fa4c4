"""Links in descriptions, which get their addresses when they are shipped."""

from tracking.outbox.links import relinked, run_link, shipped, trials_link

RUNS = {"s": "1f", "s/trial-0001": "2f"}


def test_links_by_key_become_links_within_the_server():
    note = (
        f"{run_link('t', 's/trial-0001')}, {run_link('Report', 's', 'report/report.html')}, {trials_link('all', 'v')}"
    )
    assert shipped(note, "7", RUNS.get) == (
        "[t](#/experiments/7/runs/2f?workflowType=machine_learning), "
        "[Report](#/experiments/7/runs/1f/artifacts/report/report.html?workflowType=machine_learning), "
        "[all](#/experiments/7/runs?viewStateShareKey=v&workflowType=machine_learning)"
    )


def test_what_is_not_on_the_server_is_no_link_and_other_links_stay():
    note = f"{run_link('gone', 'other')} and [paper](https://example.org)"
    assert shipped(note, "7", RUNS.get) == "gone and [paper](https://example.org)"


def test_links_to_runs_of_a_key_are_given_another_and_others_stay():
    others = f"{run_link('f', 'abc0/trial-0001')} {trials_link('all', 'abc')} [x](http://abc/y)"
    text = f"{run_link('s', 'abc')} {run_link('t', 'abc/trial-0001', 'model/a b')} {others}"
    wanted = f"{run_link('s', 'def')} {run_link('t', 'def/trial-0001', 'model/a b')} {others}"
    assert relinked(text, "abc", "def") == wanted
