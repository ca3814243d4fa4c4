"""The shapes in signatures: what the grammar says, that every test looks at them, and that wrong ones are found."""

import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, NamedTuple, get_args, get_origin

import pytest
import torch
from torch import Tensor

from oplstm.episodes.episode import Batch, Episode
from oplstm.episodes.losses import task_losses
from oplstm.episodes.task_shape import TaskShape
from oplstm.learners.lstm import LSTM
from oplstm.learners.lstm_config import LSTMConfig
from oplstm.learners.maml import MAML, MAMLConfig
from oplstm.nets.batch_norm import batch_norm
from oplstm.shape import LETTERS, Shape
from oplstm.training.update.adam import AdamMoments, adam_step
from tests.oplstm.learners.comparison import Sizes, random_episode, random_params
from tests.oplstm.shape_check import Fact, ShapeError, check, checked, modules, replacements


def fit(*pairs):
    """The sizes of letters where shapes such as ``("R B", (2, 3))`` fit at once."""
    sizes = {}
    check([Fact((f"{number}",), tuple(axes.split()), shape, sizes) for number, (axes, shape) in enumerate(pairs)])
    return sizes


# The grammar


@pytest.mark.parametrize(
    ("pairs", "sizes"),
    [
        ([("R B", (2, 3))], {"R": 2, "B": 3}),
        ([("R B", (2, 3)), ("B d", (3, 4))], {"R": 2, "B": 3, "d": 4}),
        ([("", ())], {}),
        ([("R 3 _", (2, 3, 7))], {"R": 2}),
        ([("R ...", (2,)), ("R ...", (2, 5, 6))], {"R": 2}),
        ([("... M d", (4, 5))], {"M": 4, "d": 5}),
        ([("R *x", (2, 5, 6)), ("M *x", (3, 5, 6))], {"R": 2, "M": 3, "x": (5, 6)}),
        ([("R *x d", (2, 4))], {"R": 2, "x": (), "d": 4}),
        ([("R B? d", (2, 4)), ("R B? d", (2, 3, 4))], {"R": 2, "B": 3, "d": 4}),
        ([("R #M", (2, 1)), ("M", (5,))], {"R": 2, "M": 5}),
        ([("R #M", (2, 5)), ("M", (5,))], {"R": 2, "M": 5}),
        ([("R #*columns", (2, 3, 1)), ("d *columns", (9, 3, 4))], {"R": 2, "d": 9, "columns": (3, 4)}),
        ([("h w", (9, 8)), ("h//2 w//2", (4, 4))], {"h": 9, "w": 8}),
        ([("*axes M *x", (2, 3, 4, 5)), ("*axes M d", (2, 3, 4, 1))], {"axes": (2, 3), "M": 4, "d": 1, "x": (5,)}),
    ],
)
def test_shapes_that_fit_give_the_sizes_of_letters(pairs, sizes):
    assert fit(*pairs) == sizes


@pytest.mark.parametrize(
    "pairs",
    [
        [("R B", (2, 3, 4))],
        [("R B", (2,))],
        [("", (1,))],
        [("R R", (2, 3))],
        [("R B", (2, 3)), ("R B", (2, 4))],
        [("R 3", (2, 4))],
        [("R B ...", (2,))],
        [("R *x", (2, 5)), ("R *x", (2, 5, 5))],
        [("R *x", (2, 5)), ("R *x", (2, 6))],
        [("R B? d", (2, 3, 4)), ("R B? d", (2, 5, 4))],
        [("R B? d", (2,))],
        [("R #M", (2, 2)), ("M", (5,))],
        [("R #*columns", (2, 3, 2)), ("*columns", (3, 4))],
        [("h", (9,)), ("h//2", (5,))],
    ],
)
def test_shapes_that_do_not_fit_are_refused(pairs):
    with pytest.raises(ShapeError):
        fit(*pairs)


def test_what_could_be_read_in_two_ways_is_refused():
    with pytest.raises(ShapeError, match="two letters for any number of axes"):
        fit(("*axes M *x", (2, 3, 4)))


# Calls


class Pair(NamedTuple):
    first: Annotated[Tensor, Shape("R d")]
    others: list[Annotated[Tensor, Shape("R _")] | None]


@dataclass
class Moments:
    first: Annotated[Tensor, Shape("*axes")]
    second: Annotated[Tensor, Shape("*axes")]
    steps: int = 0


def takes(
    x: Annotated[Tensor, Shape("R d")],
    pair: Pair | None = None,
    named: Mapping[str, Annotated[Tensor, Shape("R ...")]] | None = None,
    many: Sequence[Annotated[Tensor, Shape("R B")]] = (),
    *,
    own: Moments | None = None,
    shared: Annotated[Moments, Shape("R d")] | None = None,
) -> tuple[Annotated[Tensor, Shape("d R")], int]:
    return x.mT, len(many)


TAKES = checked(takes, {})
X = torch.zeros(2, 3)


@pytest.mark.parametrize(
    "given",
    [
        {"pair": Pair(X, [None, torch.zeros(2, 9)])},
        {"named": {"a": torch.zeros(2), "b": torch.zeros(2, 5, 5)}},
        {"many": [torch.zeros(2, 4), torch.zeros(2, 4)]},
        {"own": Moments(torch.zeros(7), torch.zeros(7))},
        {"shared": Moments(X, X)},
    ],
    ids=lambda given: "-".join(given),
)
def test_a_call_with_shapes_that_fit_is_let_through(given):
    assert TAKES(X, **given)[0].shape == (3, 2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"pair": Pair(torch.zeros(3, 3), [])},
            r"takes: pair\['first'\] must be \(R d\), got \(3 3\) where R = 2, d = 3",
        ),
        ({"pair": Pair(X, [None, torch.zeros(3, 9)])}, r"pair\['others'\]\[1\] must be \(R _\), got \(3 9\)"),
        ({"named": {"a": torch.zeros(3)}}, r"named\['a'\] must be \(R ...\), got \(3\)"),
        ({"many": [torch.zeros(2, 4), torch.zeros(2, 5)]}, r"many\[1\] must be \(R B\)"),
        ({"own": Moments(torch.zeros(7), torch.zeros(8))}, r"own\['second'\] must be \(\*axes\)"),
        ({"shared": Moments(X, torch.zeros(2, 4))}, r"shared\['second'\] must be \(R d\), got \(2 4\)"),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, dict) else "",
)
def test_a_call_with_another_shape_is_refused(given, message):
    with pytest.raises(ShapeError, match=message):
        TAKES(X, **given)


def test_a_wrong_result_is_refused_and_an_error_of_the_function_is_its_own():
    def turns(x: Annotated[Tensor, Shape("R d")]) -> Annotated[Tensor, Shape("R d")]:
        if len(x) > 2:
            raise ValueError("too long")
        return x.mT

    with pytest.raises(ShapeError, match="the result must be"):
        checked(turns, {})(X)
    with pytest.raises(ValueError, match="too long"):
        checked(turns, {})(torch.zeros(3, 4, 5))


def test_a_function_without_shapes_stays_as_it_is():
    def plain(x: Tensor, count: int = 1) -> Tensor:
        return x

    assert checked(plain, {}) is plain


# The package: each of these broadcasts, so that PyTorch says nothing


def test_a_wrong_shape_is_found_in_functions_and_methods_of_the_package():
    with pytest.raises(ShapeError, match=r"task_losses: target must be \(R B Q d_y\)"):
        task_losses(torch.zeros(2, 3, 4, 1), torch.zeros(2, 1, 4, 1), "mse")
    with pytest.raises(ShapeError, match=r"batch_norm: weight must be \(R B\? d\)"):
        batch_norm(torch.zeros(2, 3, 4, 5), torch.ones(1, 5), torch.zeros(1, 5))
    state = torch.zeros(2, 2), torch.ones(2, 2), AdamMoments.zeros(torch.zeros(2, 2))
    with pytest.raises(ShapeError, match=r"adam_step: lr must be \(R 1\)"):
        adam_step(*state, lr=torch.ones(2), steps=torch.ones(2, 1), alive=torch.ones(2, 1) > 0)
    with pytest.raises(ShapeError, match=r"Episode.__init__: query_y must be"):
        Episode(torch.zeros(1, 2, 3, 1), torch.zeros(1, 2, 3, 1), torch.zeros(1, 2, 4, 1), torch.zeros(1, 2, 3, 1))


@pytest.mark.parametrize(
    ("learner", "where"),
    [
        (LSTM(LSTMConfig(widths=(3,)), TaskShape((1,), 1)), "features: x"),
        (MAML(MAMLConfig(base_widths=(3,)), TaskShape((1,), 1)), "MAML.begin: support"),
    ],
    ids=["lstm", "maml"],
)
def test_parameters_of_another_number_of_runs_are_found(learner, where):
    with pytest.raises(ShapeError, match=where):
        learner.begin(random_params(learner, 1), random_episode(Sizes(R=2)))


def test_the_letters_are_those_of_the_grammar_and_each_is_used():
    used = set()
    for module in modules():
        for owner in [module, *(each for each in vars(module).values() if isinstance(each, type))]:
            hints = getattr(owner, "__annotations__", {})
            members = [each.__func__ if isinstance(each, classmethod) else each for each in vars(owner).values()]
            for hint in [*hints.values(), *(h for f in members for h in getattr(f, "__annotations__", {}).values())]:
                used |= letters_of(hint)
    assert used == LETTERS.keys()


def letters_of(hint) -> set[str]:
    if get_origin(hint) is Annotated and isinstance(hint.__metadata__[0], Shape):
        axes = [axis for axis in hint.__metadata__[0].axes.split() if axis not in ("_", "...") and not axis.isdigit()]
        return {re.sub(r"//\d+$", "", axis).strip("#*?") for axis in axes} | letters_of(hint.__origin__)
    return set().union(*(letters_of(arg) for arg in get_args(hint)))


@pytest.mark.slow
def test_what_learners_and_nets_compute_with_says_its_shapes():
    """Public functions there that take a tensor take no bare one."""
    bare = []
    for owner, name, function, _ in replacements():
        if name.startswith("_") or owner.__name__.startswith("_"):
            continue
        module = function.__module__.partition(".")[2]
        if module.startswith(("nets.", "learners.", "analysis.", "training.update")):
            hints = typing.get_type_hints(getattr(function, "__wrapped__", function), include_extras=True)
            bare += [f"{function.__qualname__}({name})" for name, hint in hints.items() if hint is Tensor]
    assert bare == []


def test_an_episode_takes_part_in_a_call_by_its_own_letters():
    def of_batch(batch: Batch, losses: Annotated[Tensor, Shape("R B")]) -> None: ...

    def of_any(episode: Episode, losses: Annotated[Tensor, Shape("R B")]) -> None: ...

    def of_two(one: Episode, other: Episode) -> None: ...

    episode = random_episode(Sizes(R=2, B=3))
    checked(of_two, {})(episode, random_episode(Sizes(R=4, k=5, Q=6, d_x=2)))
    checked(of_batch, {})(episode, torch.zeros(2, 3))
    checked(of_any, {})(episode, torch.zeros(5, 5))
    with pytest.raises(ShapeError, match=r"losses must be \(R B\), got \(5 5\)"):
        checked(of_batch, {})(episode, torch.zeros(5, 5))
