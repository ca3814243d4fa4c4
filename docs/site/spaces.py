"""The spaces that ship: what each asks a trial for."""

import inspect

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from docs.site.markdown import code, prose, table
from search_spaces.spaces import SPACES, Space

POINTS = 300
"""Random points at which a space is asked, so that it shows what it asks for at some of them alone."""


def spaces() -> str:
    """A section for each space, with its dimensions."""
    return "\n\n".join(f"## {name}\n\n{_about(SPACES[name])}" for name in SPACES)


def _about(space: Space) -> str:
    paragraph = inspect.cleandoc(space.__doc__ or "").partition("\n\n")[0]
    rows = [[code(name), _takes(distribution), when] for name, (distribution, when) in dimensions(space).items()]
    return f"{prose(paragraph)}\n\n{table(['dimension', 'takes', 'asked for'], rows)}"


def dimensions(space: Space) -> dict[str, tuple[BaseDistribution, str]]:
    """By name what a space asks for, and whether it does at all points."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found: dict[str, BaseDistribution] = {}
    asked: list[set[str]] = []
    for _ in range(POINTS):
        trial = study.ask()
        space(trial)
        found |= trial.distributions
        asked.append(set(trial.distributions))
    always = set.intersection(*asked)
    return {name: (one, "always" if name in always else "at some points") for name, one in found.items()}


def _takes(distribution: BaseDistribution) -> str:
    if isinstance(distribution, CategoricalDistribution):
        return ", ".join(map(code, distribution.choices))
    if not isinstance(distribution, IntDistribution | FloatDistribution):
        raise TypeError(f"no words for {distribution}")
    kind = "a whole number" if isinstance(distribution, IntDistribution) else "a number"
    scale = ", on a logarithmic scale" if distribution.log else ""
    step = "" if distribution.step in (None, 1) else f", in steps of {code(distribution.step)}"
    return f"{kind} from {code(distribution.low)} to {code(distribution.high)}{step}{scale}"
