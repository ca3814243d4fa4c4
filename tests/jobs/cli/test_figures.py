"""``oplstm figure``."""

import pytest

from tests.jobs.cli.verbs import answer, run, the_complaint
from tests.jobs.formula_training import finish, job, new_sweep


@pytest.fixture
def two_sweeps(home, no_waiting_for_the_disk):
    for name in ("one", "two"):
        finish(new_sweep(home / "sweeps" / name, job(trials=6)))
    return home


@pytest.mark.slow
def test_sweeps_are_drawn_into_a_file_and_compared_in_words(two_sweeps, tmp_path):
    shown = run("figure", "tuning", "one", "two")
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[:2] == [
        "wrote one-tuning.png",
        "one and two cannot be told apart at equal effort, up to 6 trials: their bands overlap",
    ]
    assert (tmp_path / "one-tuning.png").read_bytes().startswith(b"\x89PNG")
    told = answer("figure", "tuning", "one", "--output", tmp_path / "a.svg")
    assert (told["file"], [curve["trials"] for curve in told["curves"]]) == (str(tmp_path / "a.svg"), [6])
    assert len(answer("figure", "curves", "two", "--leaders", 2)["trials"]) == 2
    assert (tmp_path / "two-curves.png").exists()


def test_what_cannot_be_drawn_is_one_line(two_sweeps):
    assert the_complaint("figure", "tuning", "one", "three").startswith("no sweep named 'three'")
    assert "got '.gif'" in the_complaint("figure", "curves", "one", "--output", "a.gif")
