"""Spaces by name, and the enumeration of finite ones against Optuna's own exhaustive search."""

import sys
import warnings

import optuna
import pytest

from search_spaces.enumeration import NotFinite, enumerate_grid
from search_spaces.spaces import SPACES, find_space

pytestmark = pytest.mark.unit


def flat(trial):
    trial.suggest_categorical("a", ["x", "y", None])
    trial.suggest_int("b", 1, 7, step=3)
    trial.suggest_float("c", 0.5, 1.5, step=0.5)
    return {}


def branches(trial):
    """The second choice decides which dimensions follow, and one name has another range in another branch."""
    trial.suggest_int("first", 0, 1)
    kind = trial.suggest_categorical("kind", ["none", "few", "many"])
    if kind == "few":
        trial.suggest_int("more", 5, 6)
    if kind == "many":
        for index in range(trial.suggest_int("more", 1, 2)):
            trial.suggest_categorical(f"entry{index}", ["p", "q"])
        trial.suggest_int("last", 3, 4)
    return {}


def asked_twice(trial):
    return {"a": trial.suggest_int("a", 1, 2), "again": trial.suggest_int("a", 1, 2), "b": trial.suggest_int("b", 1, 2)}


def exhaustive(space):
    """Every cell, as Optuna's exhaustive sampler finds them."""
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        study = optuna.create_study(sampler=optuna.samplers.BruteForceSampler(seed=0))
    study.optimize(lambda trial: float(bool(space(trial))), n_trials=1000)
    return [trial.params for trial in study.trials]


def as_set(cells):
    return {tuple(sorted(cell.items(), key=str)) for cell in cells}


@pytest.mark.parametrize("space", [flat, branches, asked_twice])
def test_a_grid_has_every_cell_once(space):
    cells, reference = list(enumerate_grid(space)), exhaustive(space)
    assert len(cells) == len(reference)
    assert as_set(cells) == as_set(reference)
    assert len(as_set(cells)) == len(cells)


def test_a_grid_goes_through_the_last_dimension_first():
    cells = [tuple(cell.values()) for cell in enumerate_grid(flat)]
    assert cells[:4] == [("x", 1, 0.5), ("x", 1, 1.0), ("x", 1, 1.5), ("x", 4, 0.5)]


def test_steps_never_leave_the_range():
    assert 0.1 + 2 * 0.1 > 0.3  # what rounding does
    cells = list(enumerate_grid(lambda trial: {"x": trial.suggest_float("x", 0.1, 0.3, step=0.1)}))
    assert [cell["x"] for cell in cells] == [0.1, 0.2, 0.3]


def test_a_range_of_one_value_and_whole_numbers_on_a_log_scale_are_finite():
    def space(trial):
        return trial.suggest_int("log", 1, 3, log=True), trial.suggest_float("single", 0.25, 0.25)

    assert list(enumerate_grid(space)) == [{"log": value, "single": 0.25} for value in (1, 2, 3)]


def test_a_space_without_dimensions_is_one_cell():
    assert list(enumerate_grid(lambda trial: {"lr": 0.1})) == [{}]


def test_a_continuous_dimension_is_no_grid():
    with pytest.raises(NotFinite, match="lr is continuous"):
        list(enumerate_grid(SPACES["sine-lstm"]))


def test_a_continuous_dimension_in_a_late_branch_is_found_too():
    def space(trial):
        return trial.suggest_float("x", 0, 1) if trial.suggest_int("a", 1, 3) == 3 else 0

    with pytest.raises(NotFinite, match="x is continuous"):
        list(enumerate_grid(space))


def test_spaces_that_ship_are_found_by_name():
    assert find_space("sine-demo") is SPACES["sine-demo"]


def test_an_unknown_space_names_the_nearest():
    with pytest.raises(ValueError, match=r"unknown 'sine-ltsm'; did you mean 'sine-lstm'\?.*package.module:function"):
        find_space("sine-ltsm")


def test_a_space_of_ones_own_is_imported():
    assert find_space("search_spaces.sine:lstm") is SPACES["sine-lstm"]


def test_a_module_in_the_current_folder_can_be_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_own_spaces.py").write_text("def space(trial):\n    return {'lr': 0.5}\n")
    assert find_space("my_own_spaces:space")(None) == {"lr": 0.5}
    del sys.modules["my_own_spaces"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:space", "No module named 'no_such_module'"),
        ("search_spaces.sine:no_such", "no_such"),
        ("search_spaces.sine:", "cannot import space"),
        (":lstm", "cannot import space"),
        ("search_spaces.sine:Any.x", "Any.x"),
        ("search_spaces.spaces:SPACES", "must be a function"),
        ("broken_space_module:space", "it broke"),
    ],
)
def test_what_cannot_be_imported_says_why(name, message, tmp_path, monkeypatch):
    (tmp_path / "broken_space_module.py").write_text("raise RuntimeError('it broke')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=message):
        find_space(name)
