"""Spaces as a user may write them, good and bad, named in job files as `tests.jobs.user_spaces:<function>`."""

import math
from typing import Any

from optuna import TrialPruned
from optuna.trial import Trial

TINY = {"widths": [2], "passes": 1, "meta_batch_size": 2}
FAMILIES = {
    1: {"support": "sequential", "encoding": "previous_target", "chain": "closed"},
    2: {},
    3: {"support": "sequential"},
}
"""Options by width that keep LSTMs from sharing a pack, as widths alone do not."""
IMPOSSIBLE = {"hidden": 2, "lr": 0.2}
"""The point of six_cells at which others go wrong."""


def rates(trial: Trial) -> dict[str, Any]:
    return TINY | {"lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True)}


def six_cells(trial: Trial) -> dict[str, Any]:
    """Two signatures, and three rates."""
    hidden = trial.suggest_categorical("hidden", [2, 3])
    return TINY | {"widths": [hidden]} | FAMILIES[hidden] | {"lr": trial.suggest_categorical("lr", [0.3, 0.2, 0.1])}


def kinds(trial: Trial) -> dict[str, Any]:
    """A whole number, a choice and a rate that it computes with."""
    widths, pool_cell = [trial.suggest_int("hidden", 1, 40)], trial.suggest_categorical("pool_cell", [True, False])
    return TINY | {"widths": widths, "pool_cell": pool_cell, "lr": trial.suggest_float("lr", 1e-4, 1e-2) / 2}


def clipped(trial: Trial) -> dict[str, Any]:
    return six_cells(trial) | {"grad_clip": trial.suggest_categorical("grad_clip", [1.0, 10.0])}


def asks_twice(trial: Trial) -> dict[str, Any]:
    """Some of its points ask for the rate once more, in another range."""
    found = rates(trial) | {"passes": trial.suggest_int("passes", 1, 4)}
    if found["passes"] > 2:
        trial.suggest_float("lr", 1e-4, 1.0, log=True)
    return found


def heavy_and_light(trial: Trial) -> dict[str, Any]:
    """One shape: passes and meta-batch sizes are no part of it."""
    sizes = {"passes": trial.suggest_int("passes", 1, 3), "meta_batch_size": trial.suggest_int("tasks", 1, 2)}
    return TINY | sizes | {"lr": 0.01}


def many_costs(trial: Trial) -> dict[str, Any]:
    """One shape; the longest runs make 36 times the passes of the shortest."""
    sizes = {"passes": trial.suggest_int("passes", 1, 9), "meta_batch_size": trial.suggest_int("tasks", 1, 4)}
    return TINY | sizes | {"lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True)}


def three_runs(trial: Trial) -> dict[str, Any]:
    """Two runs of one signature, which differ in their rate, and one of another."""
    hidden = trial.suggest_categorical("hidden", [2, 3])
    rate = trial.suggest_categorical("lr", [0.01, 0.02]) if hidden == 2 else 0.01
    return TINY | {"widths": [hidden], "lr": rate} | FAMILIES[hidden]


def three_rates(trial: Trial) -> dict[str, Any]:
    """One that learns, one that stands still, one that diverges."""
    return TINY | {"widths": [4], "lr": trial.suggest_categorical("lr", [0.2, 1e-9, 1e6])}


def mixed(trial: Trial) -> dict[str, Any]:
    """Finite but for one dimension; few points of the rest, so that proposals repeat."""
    hidden = trial.suggest_int("hidden", 1, 3)
    rate = trial.suggest_float("rate", 0.01, 0.03, step=0.01)
    return TINY | {"widths": [hidden], "lr": rate} | FAMILIES[hidden]


def named_as_one_likes(trial: Trial) -> dict[str, Any]:
    return TINY | {"lr": trial.suggest_categorical("Lernrate (α) %", [0.1, 0.2])}


def lists(trial: Trial) -> dict[str, Any]:
    return TINY | {"widths": trial.suggest_categorical("widths", [[2], [2, 2]]), "lr": 0.1}


def tuples(trial: Trial) -> dict[str, Any]:
    return TINY | {"widths": trial.suggest_categorical("widths", [(2,), (2, 2)]), "lr": 0.1}


def raises(trial: Trial) -> dict[str, Any]:
    raise KeyError("no such thing")


def no_dictionary(trial: Trial) -> Any:
    return [trial.suggest_int("passes", 1, 2)]


def bad_keys(trial: Trial) -> dict[str, Any]:
    return rates(trial) | {"pases": 3, "width": trial.suggest_int("width", 1, 50)}


def bad_values(trial: Trial) -> dict[str, Any]:
    return rates(trial) | {"lr": trial.suggest_float("rate", -2.0, -1.0), "passes": 0}


def rarely_bad(trial: Trial) -> dict[str, Any]:
    """A grid of 200 cells whose last ones are impossible."""
    return rates_by_cell(trial) | {"passes": 0 if trial.params["cell"] >= 195 else 1}


def rates_by_cell(trial: Trial) -> dict[str, Any]:
    return TINY | {"lr": 0.001 * (1 + trial.suggest_int("cell", 0, 199))}


def without_rate(trial: Trial) -> dict[str, Any]:
    return {"widths": [trial.suggest_int("hidden", 1, 3)], "passes": 1, "meta_batch_size": 2}


def raises_at_one(trial: Trial) -> dict[str, Any]:
    found = six_cells(trial)
    if trial.params == IMPOSSIBLE:
        raise ArithmeticError("so many\nlines")
    return found


def silent_at_one(trial: Trial) -> dict[str, Any]:
    found = six_cells(trial)
    if trial.params == IMPOSSIBLE:
        raise ArithmeticError
    return found


def nonsense_at_one(trial: Trial) -> Any:
    found = six_cells(trial)
    return [3] if trial.params == IMPOSSIBLE else found


def impossible_at_one(trial: Trial) -> Any:
    found = six_cells(trial)
    return found | {"passes": 0} if trial.params == IMPOSSIBLE else found


def infeasible_at_one(trial: Trial) -> dict[str, Any]:
    found = six_cells(trial)
    if trial.params == IMPOSSIBLE:
        raise TrialPruned("too large")
    return found


def not_a_number_at_one(trial: Trial) -> dict[str, Any]:
    """Beside one that is fine, so that samplers have something to find."""
    return TINY | {"widths": [2], "lr": trial.suggest_categorical("lr", [0.1, 0.2, math.nan, 0.3, 0.15, 0.25])}


def raises_above(trial: Trial) -> dict[str, Any]:
    found = rates(trial)
    if trial.params["lr"] > 0.1:
        raise ArithmeticError("too fast")
    return found


def raises_everywhere(trial: Trial) -> dict[str, Any]:
    raise ArithmeticError(f"never {trial.suggest_float('lr', 0.1, 1.0):.3f}")


def raises_before_it_asks(trial: Trial) -> dict[str, Any]:
    raise ArithmeticError("never")


def hostile(trial: Trial) -> dict[str, Any]:
    """Names, choices and reasons that would run in a page that took them for HTML."""
    kind = trial.suggest_categorical("<img src=x onerror=alert(1)>", ["</script><script>alert(2)</script>", "<b>x</b>"])
    rate = trial.suggest_float("<a href='javascript:alert(3)'>lr</a>", 1e-3, 1e-1, log=True)
    if kind == "<b>x</b>" and rate > 0.05:
        raise TrialPruned("<script>alert(4)</script>")
    return TINY | {"lr": rate}


def noted(trial: Trial) -> dict[str, Any]:
    """It leaves notes in the trial, and has ranges and dimensions that hang on others."""
    hidden = trial.suggest_int("hidden", 2, 4)
    trial.set_user_attr("wide", hidden > 3)
    trial.set_constraint("size", hidden - 3.0)
    passes = trial.suggest_int("passes", 1, hidden) if hidden > 2 else 1
    return TINY | {"widths": [hidden], "passes": passes, "lr": trial.suggest_float("lr", 1e-4, 1e-1, log=True)}
