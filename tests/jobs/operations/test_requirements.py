"""What a job needs before it can start."""

from jobs.operations.requirements import check_data, disk_bytes
from jobs.sweep.proposals import Proposals
from oplstm.episodes.registry import BENCHMARKS
from oplstm.training.pack import Pack
from tests.jobs.formula_training import job


def test_disk_grows_with_the_trials():
    of = job("rates", trials=4)
    numbers = Pack([Proposals(of).ask().run], ["one"]).layout.size + of.budget["validation_tasks"]
    assert disk_bytes(of) > 4 * 4 * numbers
    assert disk_bytes(job("rates", trials=40)) == 10 * disk_bytes(of)


def test_the_datasets_of_all_domains_are_needed(tmp_path, monkeypatch):
    opened = []
    for name in ("miniimagenet", "cub"):
        monkeypatch.setattr(BENCHMARKS[name], "open", lambda _, data, name=name: opened.append((name, data)))
    check_data(job("rates", benchmark={"name": "miniimagenet", "cross_domain": ["cub"]}), tmp_path)
    assert opened == [("miniimagenet", tmp_path), ("cub", tmp_path)]
