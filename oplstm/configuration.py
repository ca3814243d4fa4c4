"""Building frozen dataclasses from plain dictionaries: unknown keys refused, every problem reported at once."""

import dataclasses
import difflib
import functools
import math
import types
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal, Protocol, TypeVar, Union, get_args, get_origin, get_type_hints

from oplstm.errors import name_of, shown
from oplstm.limits import over

_type_hints = functools.cache(get_type_hints)  # it evaluates them anew each time, and a plan builds thousands


class Problems:
    """Collects problems as (path, message); a path is the place in the job file, such as ``("budget", "tasks")``."""

    def __init__(self, prefix: tuple[str, ...] = (), found: list[tuple[tuple[str, ...], str]] | None = None) -> None:
        self.prefix = prefix
        self.found: list[tuple[tuple[str, ...], str]] = [] if found is None else found

    def add(self, key: str | tuple[str, ...], message: str) -> None:
        """Record ``message`` for the value at ``key`` below this prefix."""
        self.found.append((self.prefix + ((key,) if isinstance(key, str) else key), message))

    def below(self, key: str) -> "Problems":
        """The same collection, one level deeper."""
        return Problems((*self.prefix, key), self.found)

    def has(self, key: str) -> bool:
        """Whether a problem is recorded at ``key`` below this prefix."""
        return any(path == (*self.prefix, key) for path, _ in self.found)

    def __bool__(self) -> bool:
        return bool(self.found)

    def lines(self) -> list[str]:
        """``path: message`` lines."""
        return [f"{'.'.join(path) or 'configuration'}: {message}" for path, message in self.found]


class Configuration(Protocol):
    """A frozen dataclass that can be built from a job file."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    conventions: ClassVar[dict[str, dict[str, Any]]]

    def check(self, problems: Problems) -> None:
        """Record every impossible value."""
        ...


C = TypeVar("C", bound=Configuration)


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Message for a key or name that does not exist, with the nearest one that does."""
    known = list(known)
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
    return f"unknown {shown(key)}; {hint}"


def mapping(value: Any, key: str, problems: Problems) -> dict[str, Any]:
    """``value`` as a dictionary with text keys; {} after recording that it is not one."""
    if value is None:
        return {}
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return dict(value)
    problems.add(key, f"must be keys and values, got {shown(value)}")
    return {}


def build(
    cls: type[C],
    values: Mapping[str, Any],
    problems: Problems,
    *,
    further: Mapping[str, Mapping[str, Any]] | None = None,
) -> C | None:
    """An instance of ``cls`` from ``values``, or None after recording every problem.

    The key ``convention`` (``paper``, the default, or ``authors``) sets the defaults of all the options in which the
    paper and its published code differ; keys given beside it win.

    Args:
        cls: What to build.
        values: Its fields by name.
        problems: Where to record them.
        further: What conventions set beside ``cls.conventions`` where the instance is used, by convention.
    """
    before = len(problems.found)
    values = dict(values)
    convention = values.pop("convention", "paper")
    if not isinstance(convention, str) or convention not in cls.conventions:
        problems.add("convention", unknown_key(name_of(convention), cls.conventions))
        convention = "paper"
    fields = _fields(cls)
    hints = _type_hints(cls)
    built = {**cls.conventions[convention], **(further or {}).get(convention, {})}
    for key, value in values.items():
        if key not in fields:
            problems.add(key, unknown_key(name_of(key), fields))
            continue
        try:
            converted = convert(value, hints[key])
        except ValueError as error:
            problems.add(key, str(error))
            continue
        if (problem := over(key, converted)) is not None:
            problems.add(key, problem)
        else:
            built[key] = converted
    missing = False
    for key, is_required in fields.items():
        if is_required and key not in built:
            missing = True
            if key not in values:
                problems.add(key, "is required")
    if missing:
        return None
    instance = cls(**built)
    reported = problems.found[before:]
    checked = Problems(problems.prefix, list(reported))
    instance.check(checked)
    known = {path for path, _ in reported}
    problems.found += [entry for entry in checked.found[len(reported) :] if entry[0] not in known]
    return instance if len(problems.found) == before else None


@functools.cache
def _fields(cls: type) -> Mapping[str, bool]:
    """The fields of a dataclass, and whether each has to be given."""
    missing = dataclasses.MISSING
    return {f.name: f.default is missing and f.default_factory is missing for f in dataclasses.fields(cls)}


@functools.cache
def _parts(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    return get_origin(hint), get_args(hint)


def convert(value: Any, hint: Any) -> Any:
    """``value`` as the type ``hint`` (int, float, bool, str, Literal, tuple, optional).

    Raises:
        ValueError: It is not of that type; the message names both.
    """
    origin, args = _parts(hint)
    if origin is Literal:
        if value in args and type(value) in {type(a) for a in args}:
            return value
        raise ValueError(f"must be one of {', '.join(map(str, args))}, got {shown(value)}")
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return convert(value, next(a for a in args if a is not type(None)))
    if origin is tuple:
        if isinstance(value, list | tuple):
            return tuple(convert(item, args[0]) for item in value)
        raise ValueError(f"must be a list, got {shown(value)}")
    if hint is bool and isinstance(value, bool):
        return value
    if hint is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if hint is float:
        return _number(value)
    if hint is str and isinstance(value, str):
        return value
    wanted = {int: "a whole number", bool: "true or false", str: "text"}.get(hint, str(hint))
    raise ValueError(f"must be {wanted}, got {shown(value)}")


def _number(value: Any) -> float:
    """A finite float; text such as ``1e-3`` counts, because older records have it so."""
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = math.nan
        if math.isfinite(number):
            return number
    raise ValueError(f"must be a finite number, got {shown(value)}")


def positive(problems: Problems, instance: Any, *names: str) -> None:
    """Record each named field that is not at least 1 (whole numbers) or above 0 (real ones)."""
    for name in names:
        value = getattr(instance, name)
        if isinstance(value, int) and value < 1:
            problems.add(name, f"must be >= 1, got {shown(value)}")
        elif isinstance(value, float) and value <= 0:
            problems.add(name, f"must be > 0, got {value:g}")
