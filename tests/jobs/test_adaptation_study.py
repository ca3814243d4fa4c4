"""The experiment behind docs/published.md that tests models with other numbers of passes."""

import json
from dataclasses import asdict

import numpy as np

from docs.site.adaptation import adaptation
from docs.studies.adaptation import adapted
from jobs.operations.evaluate import Tasks, evaluate
from jobs.store.home import Home


def test_every_model_is_tested_with_each_number_of_passes_and_the_page_has_a_column_for_each(
    small_sweep, tmp_path, monkeypatch
):
    one = adapted(Home(), "small", [10, 2], 20)
    assert [len(values) for values in one.accuracies.values()] == [3, 3] and one.tasks == 20
    for count in (10, 2):
        scores = [evaluate(Home(), f"small/trial-000{i}", Tasks(count=20), passes=count, uri=None) for i in range(3)]
        assert one.accuracies[str(count)] == [each.score.mean for each in scores]
    (tmp_path / "noted.json").write_text(json.dumps([asdict(one)]))
    monkeypatch.setattr("docs.site.adaptation.RESULTS", tmp_path / "noted.json")
    head, _, row = adaptation().splitlines()
    assert "| 2 in the test | 10 in the test |" in head
    assert row.split("|")[3].strip().startswith(f"{100 * np.mean(one.accuracies['2']):.1f} ±")
