"""Walking through finite spaces, against Optuna's own exhaustive search, and whatever else a space asks of a trial."""

import itertools
import warnings

import optuna
import pytest

from search_spaces.enumeration import NotFinite, RecordingTrial, enumerate_grid, random_cells
from search_spaces.spaces import SPACES


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


def test_cells_are_made_one_at_a_time():
    asked = []

    def space(trial):
        asked.append(trial)
        for name in range(20):
            trial.suggest_int(str(name), 0, 999_999_999)
        trial.suggest_float("fine", 0, 1e6, step=1e-6)
        return {}

    first = list(itertools.islice(enumerate_grid(space), 3))
    assert [cell["fine"] for cell in first] == [0, 1e-6, 2e-6]
    assert len(asked) == 3
    assert next(itertools.islice(random_cells(space, 2), 1, None))["fine"] == 1e6


@pytest.mark.parametrize(("low", "high", "step"), [(0, 1, 0.25), (0.1, 0.3, 0.1), (-3, 7, 2.5), (0, 1, 0.3)])
def test_steps_are_those_of_optuna(low, high, step):
    def space(trial):
        return {"x": trial.suggest_float("x", low, high, step=step)}

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # that the range is cut to whole steps
        drawn = {space(study.ask())["x"] for _ in range(300)}
        walked = [cell["x"] for cell in enumerate_grid(space)]
    assert sorted(drawn) == pytest.approx(walked)


def all_of_it(trial):
    """What else there is to a trial of Optuna's."""
    trial.set_user_attr("why", ["because"])
    assert trial.user_attrs == {"why": ["because"]}
    assert trial.number >= 0
    assert trial.datetime_start is None or trial.datetime_start.year > 2000
    width = trial.suggest_int("width", 1, 2)
    assert (trial.params, set(trial.distributions)) == ({"width": width}, {"width"})
    trial.set_constraint("narrow", width - 1)
    assert trial.constraints == {"narrow": width - 1.0}
    trial.report(1.0, 1)
    trial.should_prune()
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        rate = trial.suggest_discrete_uniform("rate", 0.1, 0.2, 0.1)
        decay = trial.suggest_loguniform("decay", 0.5, 0.5)
        trial.suggest_uniform("other", 0.5, 0.5)
    return {"width": width, "rate": rate, "decay": decay}


def test_a_recording_trial_is_like_any_trial_of_optunas():
    assert list(enumerate_grid(all_of_it)) == [
        {"width": width, "rate": rate, "decay": 0.5, "other": 0.5} for width in (1, 2) for rate in (0.1, 0.2)
    ]
    for trial in (optuna.create_study().ask(), optuna.trial.FixedTrial(next(enumerate_grid(all_of_it)))):
        all_of_it(trial)
    public = {name for name in dir(optuna.trial.Trial) if not name.startswith("_")} - {"relative_params"}
    assert public <= set(dir(RecordingTrial))


def test_a_cell_at_which_the_space_raises_is_walked_as_far_as_it_came():
    def space(trial):
        if trial.suggest_int("a", 1, 3) == 2:
            raise optuna.TrialPruned("not this one")
        return {"b": trial.suggest_int("b", 1, 2)}

    cells = [tuple(cell.values()) for cell in enumerate_grid(space)]
    assert cells == [(1, 1), (1, 2), (2,), (3, 1), (3, 2)]
