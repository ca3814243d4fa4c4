"""What a sweep is: written once, read in both versions, and one clear error for everything else."""

import json
from pathlib import Path

import pytest

from jobs.store.header import Header
from jobs.store.home import SweepFolder
from jobs.store.states import SweepKind
from oplstm.episodes.measure import ACCURACY, LOSS
from oplstm.errors import RequestError
from tests.jobs.formula_training import job, new_sweep, opened
from tests.jobs.headers import rewrite

VERSION_1 = SweepFolder(Path(__file__).parent / "version_1" / "old")
VERSION_2 = SweepFolder(Path(__file__).parent / "version_2" / "old")
VERSION_3 = SweepFolder(Path(__file__).parent / "version_3" / "old")
"""As test_events.py reads it."""

AWAY = "away"


def test_a_header_comes_back_as_it_was_and_appears_whole(tmp_path):
    of = job("rates", benchmark={"name": "omniglot"}, description="α", final={"gpus": 0.5})
    header = Header(
        id="1f", name="s", kind=SweepKind.FINAL, experiment="e", job=of, measure=of.measure, tracking_uri="http://h:1",
        provenance={"version.oplstm": "0"}, of="2f",
    )  # fmt: skip
    folder = SweepFolder(tmp_path / "deep" / "s")
    header.write(folder)
    assert Header.read(folder) == header
    assert header.measure is ACCURACY
    assert [path.name for path in folder.path.iterdir()] == ["sweep.json"]


def test_a_folder_that_is_there_is_not_written_to(tmp_path):
    header = Header.read(new_sweep(tmp_path / "mine", job()))
    for taken in ("mine", "empty"):
        (tmp_path / taken).mkdir(exist_ok=True)
        before = [(path, path.read_bytes()) for path in (tmp_path / taken).iterdir()]
        with pytest.raises(RequestError, match=r"name 'mine' is taken \(.*\); use another --name"):
            header.write(SweepFolder(tmp_path / taken))
        assert [(path, path.read_bytes()) for path in (tmp_path / taken).iterdir()] == before


def test_of_two_processes_that_take_a_name_at_once_one_gets_it(tmp_path, monkeypatch):
    header = Header.read(new_sweep(tmp_path / "mine", job()))
    answers = iter([False, True])
    monkeypatch.setattr("os.path.lexists", lambda path: next(answers))
    with pytest.raises(RequestError, match="name 'mine' is taken"):
        header.write(SweepFolder(tmp_path / "mine"))
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_header_of_version_1_has_the_measure_of_its_benchmark(tmp_path):
    data = json.loads(VERSION_1.header.read_text())
    assert (data["version"], "measure" in data) == (1, False)
    of = job("six_cells", trials=None, sampler={"name": "grid"}, resources={"pack": "auto"},
             pruner={"name": "MedianPruner", "options": {"n_startup_trials": 1}, "patience": None})  # fmt: skip
    assert Header.read(VERSION_1) == Header(
        id="id-of-old", name="old", kind=SweepKind.SWEEP, experiment="tests", job=of, measure=LOSS, tracking_uri=None,
        provenance={"version.oplstm": "0"},
    )  # fmt: skip
    folder = SweepFolder(tmp_path / "old")
    folder.path.mkdir()
    data["job"]["benchmark"] = {"name": "omniglot"}
    folder.header.write_text(json.dumps(data))
    assert Header.read(folder).measure is ACCURACY


def test_a_header_of_version_2_has_no_digest():
    data = json.loads(VERSION_2.header.read_text())
    assert (data["version"], "digest" in data) == (2, False)
    assert Header.read(VERSION_2) == Header.read(VERSION_1)


def test_a_header_of_version_3_has_no_place():
    data = json.loads(VERSION_3.header.read_text())
    assert (data["version"], "digest" in data, "place" in data) == (3, True, False)
    assert Header.read(VERSION_3) == Header.read(VERSION_2)
    assert Header.read(VERSION_3).place is None


def test_a_bit_that_flips_is_noticed_or_changes_nothing(tmp_path):
    """Every 61st, which comes by every bit of a byte; tests/jobs/operations/test_every_bit.py flips them all."""
    step = 61
    folder = new_sweep(tmp_path / "s", job("rates", seed=10, promotion={"leaders": 3}))
    whole, known, harmless = folder.header.read_bytes(), Header.read(folder), 0
    for bit in range(0, 8 * len(whole), step):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        folder.header.write_bytes(flipped)
        try:
            assert Header.read(folder) == known, f"bit {bit} is not noticed"
            harmless += 1
        except RequestError as error:
            assert str(error).startswith(f"{folder.header} "), f"bit {bit}"  # noqa: PT017
    print(f"{len(range(0, 8 * len(whole), step))} flips: {harmless} harmless")
    assert harmless < len(whole) // step, "spaces alone"


@pytest.mark.parametrize(
    "keys", [{"digest": AWAY}, {"digest": None}, {"digest": "0" * 64}, {"experiment": "e"}, {"version": 2}]
)
def test_a_digest_that_is_not_the_contents_is_noticed(keys, tmp_path):
    folder = new_sweep(tmp_path / "s", job())
    data = json.loads(folder.header.read_text()) | keys
    folder.header.write_text(json.dumps({key: value for key, value in data.items() if value != AWAY}))
    with pytest.raises(RequestError, match=f"{folder.header} is damaged: its content does not have the digest"):
        Header.read(folder)


def test_the_measure_of_a_header_is_read_without_the_benchmark(tmp_path):
    folder = new_sweep(tmp_path / "s", job())
    changed(folder, measure="accuracy")
    assert Header.read(folder).measure is ACCURACY


def changed(folder, **keys):
    data = json.loads(folder.header.read_text()) | keys
    rewrite(folder, {key: value for key, value in data.items() if value != AWAY})


def test_a_header_of_a_later_version_is_refused(tmp_path):
    folder = new_sweep(tmp_path / "s", job())
    changed(folder, version=5)
    for look in (Header.read, opened):
        with pytest.raises(RequestError) as caught:
            look(folder)
        assert str(caught.value) == f"{folder.header} has format version 5, this oplstm reads 1 to 4"


DAMAGED = [
    *({key: AWAY} for key in ("id", "name", "kind", "experiment", "job", "measure", "provenance", "of")),
    *({"version": 1, key: AWAY} for key in ("id", "job", "of")),
    {"kind": "explosion"},
    {"measure": "explosion"},
    {"job": None},
    {"job": []},
    {"job": {"learner": "lstm"}},
    {"job": job().model_dump(mode="json") | {"trials": 0}},
    {"version": 1, "job": job().model_dump(mode="json") | {"benchmark": {"name": "explosion"}}},
    {"version": 1, "job": job().model_dump(mode="json") | {"benchmark": {"name": ["sine"]}}},
    {"version": 1, "job": job().model_dump(mode="json") | {"benchmark": {}}},
    {"experiment": "a\x1b[31m"},
    {"tracking_uri": "http://a b"},
    {"tracking_uri": "http://\x1b[31m"},
    {"id": "../../x"},
    {"name": "../x"},
]


@pytest.mark.parametrize("keys", DAMAGED)
def test_a_damaged_header_is_one_clear_error(keys, tmp_path):
    folder = new_sweep(tmp_path / "s", job())
    changed(folder, **keys)
    with pytest.raises(RequestError) as caught:
        Header.read(folder)
    [problem] = caught.value.problems
    assert problem.startswith(f"{folder.header} is damaged: ")
    assert len(problem.splitlines()) == 1


@pytest.mark.parametrize("text", [None, "", "{", "[]", "3", "null", '{"id": "1f"}', "\udcff", "[" * 100_000])
def test_what_is_no_header_is_one_clear_error(text, tmp_path):
    folder = SweepFolder(tmp_path)
    if text is not None:
        folder.header.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(RequestError) as caught:
        Header.read(folder)
    [problem] = caught.value.problems
    assert problem.startswith(f"{folder.header} is no header of a sweep: ")
    assert len(problem.splitlines()) == 1


def test_a_folder_that_was_renamed_is_told_its_name(tmp_path):
    """What is tracked later would go by another name than what was tracked before."""
    folder = new_sweep(tmp_path / "mine", job())
    renamed = SweepFolder(folder.path.rename(tmp_path / "other"))
    with pytest.raises(RequestError, match=r"other/sweep\.json is of sweep 'mine': give its folder that name again"):
        Header.read(renamed)
