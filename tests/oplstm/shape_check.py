"""Checks the shapes in the signatures of ``oplstm`` in every call: the reader of the grammar of ``oplstm.shape``.

``installed`` puts a checking function in the place of every annotated one, in its module or class and wherever it was
imported to. Arguments and results are looked at when a call returns; one that raises has its own error.
"""

import ast
import collections
import dataclasses
import functools
import importlib
import inspect
import pkgutil
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, NamedTuple, get_args, get_origin

import oplstm
from oplstm.shape import Shape

Sizes = dict[str, Any]
"""Sizes of letters: a number, or numbers where the letter stands for any number of axes."""
LATER = object()


class ShapeError(AssertionError):
    """A tensor has not the shape that a signature says."""


Place = tuple[Any, ...]
"""Where a tensor was met: the name of an argument, then keys and fields; put into words for an error alone."""


class Fact(NamedTuple):
    """A tensor that was met: where, its axes by the signature, its shape, and the sizes its letters go by."""

    where: Place
    axes: tuple[str, ...]
    shape: tuple[int, ...]
    sizes: Sizes


Finder = Callable[[Any, Place, Sizes, list[Fact]], None]
"""Adds the tensors in a value to a list."""


# The grammar


def check(facts: Sequence[Fact], call: str = "") -> None:
    """See that all shapes fit at once; what broadcasts goes last, and what is ambiguous waits for other letters."""
    left = sorted(facts, key=lambda fact: any("#" in axis for axis in fact.axes))
    while left:
        waiting = [fact for fact in left if _fits(fact, call) is LATER]
        if len(waiting) == len(left):
            raise ShapeError(f"{call}: {_worded(left[0].where)} has two letters for any number of axes: {left[0].axes}")
        left = waiting


def _fits(fact: Fact, call: str) -> Any:
    axes, sizes = fact.axes, fact.sizes
    many = [axis for axis in axes if axis == "..." or (axis.lstrip("#")[0] == "*" and axis.lstrip("#*") not in sizes)]
    if len(many) > 1:
        return LATER
    known = sum(len(sizes[axis.lstrip("#*")]) if "*" in axis else 1 for axis in axes if axis not in many)
    optional = sum(axis.endswith("?") for axis in axes)
    spare = len(fact.shape) - known
    if not many and -optional <= spare < 0:
        axes = tuple(axis for axis in axes if not axis.endswith("?"))  # one may be absent, or none
        spare += optional
    if spare < 0 or (spare > 0 and not many):
        raise _misfit(fact, call)
    position = 0
    for axis in axes:
        name = axis.strip("#*?")
        if axis in many:
            taken = fact.shape[position : position + spare]
            position += spare
            if axis != "..." and not ("#" in axis and 1 in taken):
                sizes[name] = taken
        elif "*" in axis:
            wanted = sizes[name]
            taken = fact.shape[position : position + len(wanted)]
            position += len(wanted)
            if any(size != want and not ("#" in axis and size == 1) for size, want in zip(taken, wanted, strict=True)):
                raise _misfit(fact, call)
        else:
            if not _one_fits(axis, name, fact.shape[position], sizes):
                raise _misfit(fact, call)
            position += 1
    return None


def _one_fits(axis: str, name: str, size: int, sizes: Sizes) -> bool:
    if axis == "_" or ("#" in axis and size == 1):
        return True
    if axis.isdigit():
        return size == int(axis)
    if "//" in axis:
        of, by = axis.split("//")
        return size == sizes[of] // int(by)
    return bool(sizes.setdefault(name, size) == size)


def _misfit(fact: Fact, call: str) -> ShapeError:
    wanted, got = " ".join(fact.axes), " ".join(map(str, fact.shape))
    known = ", ".join(f"{name} = {size}" for name, size in fact.sizes.items())
    return ShapeError(
        f"{call}: {_worded(fact.where)} must be ({wanted}), got ({got}) where {known or 'nothing is known'}"
    )


def _worded(where: Place) -> str:
    """Such as ``params['H.0']``."""
    return f"{_worded(where[0])}[{where[1]!r}]" if len(where) > 1 else str(where[0])


# From annotations to finders


@functools.cache
def finder(hint: Any) -> Finder | None:
    """What finds the tensors in a value that is annotated so; None where it says no shape."""
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated and isinstance(args[1], Shape):
        axes = tuple(args[1].axes.split())
        if dataclasses.is_dataclass(args[0]):
            return functools.partial(_of_fields, args[0], axes)
        return lambda value, where, sizes, facts: facts.append(Fact(where, axes, value.shape, sizes))
    if origin in (typing.Union, types.UnionType):
        found = [each for arm in args if (each := finder(arm))]
        return _unless_none(found[0]) if found else None
    if origin is tuple and args[-1:] != (...,):
        return _of_each([finder(arg) for arg in args])
    if origin in (list, tuple, Sequence, collections.abc.Sequence):
        return _of_all(finder(args[0]))
    if origin in (dict, Mapping, collections.abc.Mapping):
        return _of_values(finder(args[1]))
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        hints = typing.get_type_hints(hint, include_extras=True)
        return _of_each([finder(hints[name]) for name in hint._fields], hint._fields)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type) and _shaped_fields(hint):
        return functools.partial(_of_fields, hint, None)
    return None


def _unless_none(inner: Finder) -> Finder:
    def find(value: Any, where: Place, sizes: Sizes, facts: list[Fact]) -> None:
        if value is not None:
            inner(value, where, sizes, facts)

    return find


def _of_all(inner: Finder | None) -> Finder | None:
    def find(values: Any, where: Place, sizes: Sizes, facts: list[Fact]) -> None:
        for place, value in enumerate(values):
            inner(value, (where, place), sizes, facts)

    return find if inner else None


def _of_values(inner: Finder | None) -> Finder | None:
    def find(values: Any, where: Place, sizes: Sizes, facts: list[Fact]) -> None:
        for name, value in values.items():
            inner(value, (where, name), sizes, facts)

    return find if inner else None


def _of_each(inner: Sequence[Finder | None], names: Sequence[Any] | None = None) -> Finder | None:
    places = [(find, place) for place, find in enumerate(inner) if find]

    def find(values: Any, where: Place, sizes: Sizes, facts: list[Fact]) -> None:
        if len(values) != len(inner):
            raise ShapeError(f"{_worded(where)} must have {len(inner)} parts, got {len(values)}")
        for of_part, place in places:
            of_part(values[place], (where, names[place] if names else place), sizes, facts)

    return find if places else None


@functools.cache
def _shaped_fields(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls, include_extras=True)
    return {name: hints[name] for name in hints if get_origin(hints[name]) is Annotated}


def _of_fields(
    cls: type, axes: tuple[str, ...] | None, value: Any, where: Place, sizes: Sizes, facts: list[Fact]
) -> None:
    """The fields of a dataclass: by themselves, or with ``axes`` for their ``*axes`` and the letters of the call."""
    sizes = {} if axes is None else sizes
    for name, hint in _shaped_fields(cls).items():
        of_type, shape = get_args(hint)
        given = tuple(shape.axes.split())
        if axes is not None:
            given = tuple(part for axis in given for part in (axes if axis == "*axes" else (axis,)))
        part, at = getattr(value, name), (where, name)
        if dataclasses.is_dataclass(of_type):
            _of_fields(of_type, given, part, at, sizes, facts)
        else:
            facts.append(Fact(at, given, part.shape, sizes))


# In place of the functions


def checked(function: Callable[..., Any], late: Mapping[str, Any]) -> Callable[..., Any]:
    """``function`` with its shapes checked, or itself where it says none.

    Args:
        function: With annotations.
        late: What they may speak of beside the names of its module.
    """
    hints = typing.get_type_hints(function, localns=dict(late), include_extras=True)
    finders = {name: found for name, hint in hints.items() if (found := finder(hint))}
    if not finders:
        return function
    if "return" in finders:
        finders["the result"] = finders.pop("return")
    signature = inspect.signature(function)
    names = [name for name, each in signature.parameters.items() if each.kind is each.POSITIONAL_OR_KEYWORD]
    call = f"{function.__module__}.{function.__qualname__}"
    seen: set[Any] = set()  # most calls are like one before, and need no second look

    @functools.wraps(function)
    def checking(*args: Any, **kwargs: Any) -> Any:
        result = function(*args, **kwargs)
        given = {**dict(zip(names, args, strict=False)), **kwargs, "the result": result}
        sizes: Sizes = {}
        facts: list[Fact] = []
        for name, find in finders.items():
            if name in given:
                find(given[name], (name,), sizes, facts)
        key = tuple((axes, shape) for _, axes, shape, _ in facts)
        if key not in seen:
            check(facts, call)
            seen.add(key)
        return result

    return checking


def modules() -> list[types.ModuleType]:
    """All of ``oplstm``."""
    return [importlib.import_module(found.name) for found in pkgutil.walk_packages(oplstm.__path__, "oplstm.")]


def _imported_for_types(module: types.ModuleType) -> dict[str, Any]:
    """What a module imports where ``TYPE_CHECKING`` holds: names that its annotations may use."""
    blocks = [node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.If)]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {
        name.name: getattr(importlib.import_module(str(node.module)), name.name)
        for node in imports
        for name in node.names
    }


def replacements() -> Iterator[tuple[Any, str, Any, Any]]:
    """Owner, name, function and the checking one that comes in its place."""
    for module in modules():
        late = _imported_for_types(module)
        for name, member in list(vars(module).items()):
            if getattr(member, "__module__", None) != module.__name__:
                continue
            if inspect.isfunction(member):
                yield module, name, member, checked(member, late)
            elif inspect.isclass(member):
                for attribute, value in list(vars(member).items()):
                    kind = type(value) if isinstance(value, staticmethod | classmethod) else None
                    function = value.__func__ if kind else value
                    if inspect.isfunction(function) and function.__module__ == module.__name__:
                        changed = checked(function, late)
                        if changed is not function:
                            yield member, attribute, value, kind(changed) if kind else changed


@contextmanager
def installed() -> Iterator[int]:
    """Checks in place of all annotated functions; gives how many."""
    done = [each for each in replacements() if each[2] is not each[3]]
    swapped = {id(before): after for owner, _, before, after in done if inspect.ismodule(owner)}
    undo = []
    for owner, name, before, after in done:
        setattr(owner, name, after)
        undo.append((owner, name, before))
    for module in list(sys.modules.values()):
        if getattr(module, "__name__", "").partition(".")[0] in ("oplstm", "jobs", "tracking", "tests"):
            for name, value in list(vars(module).items()):
                if id(value) in swapped and inspect.isfunction(value):
                    setattr(module, name, swapped[id(value)])
                    undo.append((module, name, value))
    try:
        yield len(done)
    finally:
        for owner, name, before in reversed(undo):
            setattr(owner, name, before)
