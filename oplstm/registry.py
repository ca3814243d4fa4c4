"""Names and what they stand for: what ships, imported when it is first asked for, and what other packages add."""

import importlib
import re
from collections.abc import Callable, Container, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from oplstm.errors import RequestError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")

NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""What a name must match: it stands in job files, in tags and in paths."""


class Registry(Mapping[str, T]):
    """Entries by name. Knowing the names imports nothing; an entry is imported when it is looked up.

    Beside what ships there is what ``register`` and ``declare`` add, for this process, and what installed packages
    declare as entry points, for every process::

        [project.entry-points."oplstm.learners"]
        my_method = "my_package.my_method:MyMethod"

    An entry with an attribute ``name`` must carry the one it is registered under, because files hold that one. A module
    that registers what its package declares as an entry point too has said the same thing twice, and is no conflict.

    Looking for entry points, or importing one, raises a RequestError where a package declares something impossible; a
    name that ships is found without looking.

    Args:
        kind: What an entry is called in messages, such as ``learner``.
        group: Of the entry points.
        shipped: ``module:attribute`` by name.
        pattern: What a name must match.
    """

    def __init__(self, kind: str, group: str, shipped: Mapping[str, str], *, pattern: re.Pattern[str] = NAME) -> None:
        self._kind, self._group, self._pattern = kind, group, pattern
        self._shipped = dict(shipped)
        self._registered: dict[str, T] = {}
        self._offered: dict[str, Callable[[], object]] = {}
        self._declared: dict[str, EntryPoint] | None = None

    def register(self, name: str, entry: T) -> None:
        """Add an entry in this process.

        Raises:
            ValueError: The name is impossible or taken, or the entry carries another.
        """
        if name in self._registered and place_of(self._registered[name]) == place_of(entry) != ":":
            return
        declared = {key: point for key, point in (self._declared or {}).items() if not _is_of(point, entry)}
        if problem := self._name_problem(name, declared) or _other_name(name, entry):
            raise ValueError(problem)
        self._registered[name] = entry

    def declare(self, name: str, place: str) -> None:
        """``register`` for an entry that is imported when it is looked up: ``module:attribute``, as an entry point.

        Raises:
            ValueError: The name is impossible or taken.
        """
        self.register(name, cast(T, _Place(place)))

    def forget(self, name: str) -> None:
        """Take back what ``register`` added."""
        del self._registered[name]

    @property
    def registered(self) -> Mapping[str, T]:
        """What ``register`` has added in this process."""
        return dict(self._registered)

    def offer(self, name: str, load: Callable[[], object]) -> None:
        """Let a name be known whose entry ``load`` registers: it is called when nothing else has that name."""
        self._offered[name] = load

    def ships(self, name: str) -> bool:
        """Whether an entry is part of oplstm."""
        return name in self._shipped

    def point(self, name: str) -> "EntryPoint | None":
        """The entry point that an installed package declares under a name; None for what ships or is no such."""
        return None if name in self._shipped else self._outside().get(name)

    def __getitem__(self, name: str) -> T:
        if name in self._shipped:
            module, _, attribute = self._shipped[name].partition(":")
            shipped: T = getattr(importlib.import_module(module), attribute)
            return shipped
        if name in self._registered:
            return self._of_program(name)
        if name in self._offered and name not in self._outside():
            self._offered[name]()
            return self._of_program(name)
        return self._imported(self._outside()[name])

    def __contains__(self, name: object) -> bool:
        known: tuple[Container[object], ...] = (self._shipped, self._registered, self._offered)
        return any(name in names for names in known) or name in self._outside()

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._shipped, *self._registered, *self._outside()]))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _outside(self) -> "dict[str, EntryPoint]":
        """The entry points of installed packages, looked for once."""
        if self._declared is None:
            from importlib.metadata import entry_points  # 20 ms, for those who ask for what ships

            found: dict[str, EntryPoint] = {}
            for point in entry_points(group=self._group):
                same = point.name in self._registered and _is_of(point, self._registered[point.name])
                if not same and (problem := self._name_problem(point.name, found)):
                    raise RequestError(f"{self._described(point)}: {problem}")
                found[point.name] = point
            self._declared = found
        return self._declared

    def _of_program(self, name: str) -> T:
        """What a program registered or declared; imported at the first look."""
        entry = self._registered[name]
        if isinstance(entry, _Place):
            from importlib.metadata import EntryPoint

            entry = self._registered[name] = self._imported(EntryPoint(name, str(entry), self._group))
        return entry

    def _imported(self, point: "EntryPoint") -> T:
        try:
            entry: T = point.load()
        except Exception as error:  # somebody else's module may raise anything
            raise RequestError(
                f"{self._described(point)} cannot be imported ({type(error).__name__}: {error}); "
                f"mend or uninstall that package"
            ) from error
        if problem := _other_name(point.name, entry):
            raise RequestError(f"{self._described(point)}: {problem}")
        return entry

    def _name_problem(self, name: str, outside: Container[str]) -> str | None:
        if not self._pattern.fullmatch(name):
            return f"its name must match {self._pattern.pattern}, got {name!r}"
        taken = name in self._shipped or name in self._registered or name in outside
        return f"there is a {self._kind} {name!r} already" if taken else None

    def _described(self, point: "EntryPoint") -> str:
        package = f"{point.dist.name} {point.dist.version}" if point.dist else "a package"
        return f"the {self._kind} {point.name!r} of {package} ({point.value})"


def _is_of(point: "EntryPoint", entry: Any) -> bool:
    """Whether an entry is what an entry point stands for."""
    return point.value == place_of(entry)


class _Place(str):
    """Where an entry is that nobody has looked up yet."""


def place_of(entry: Any) -> str:
    """Where an entry is, ``module:attribute``."""
    if isinstance(entry, _Place):
        return entry
    return f"{getattr(entry, '__module__', '')}:{getattr(entry, '__qualname__', '')}"


def _other_name(name: str, entry: Any) -> str | None:
    own = getattr(entry, "name", name)
    return None if own == name else f"it must be registered under its own name {own!r}, got {name!r}"
