"""The YAML of job files: plain values alone, no more of them than any job needs, each at a line."""

import re
from typing import Any, Final, NamedTuple

import yaml

from jobs.jobfile.places import Place, line_numbers
from oplstm.configuration import Problems
from oplstm.errors import shortened

LARGEST_FILE: Final = 256 * 1024
"""Bytes, about twice as many as the most points that may be enqueued need."""
MOST_VALUES: Final = 20_000
"""Keys and values, those behind aliases counted each time."""
MOST_KEYS: Final = 100
"""In one place."""
MOST_ENTRIES: Final = 1_000
"""Of one list, such as enqueued points."""
DEEPEST: Final = 20
"""Keys and values inside of each other."""
LONGEST_TEXT: Final = 10_000
"""Characters."""
LARGEST_NUMBER: Final = 2**63 - 1

_TAG: Final = "tag:yaml.org,2002:"
_NUMBERS: Final = {  # of YAML 1.1, but for 1:30, which would be 90, and with 1e-3, which would be text, of YAML 1.2
    f"{_TAG}int": r"[-+]?(?:0b[01][01_]*|0x[0-9a-fA-F][0-9a-fA-F_]*|0[0-7_]*|[1-9][0-9_]*)",
    f"{_TAG}float": r"[-+]?(?:(?:[0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?|[0-9][0-9_]*[eE][-+]?[0-9]+"
    r"|\.(?:inf|Inf|INF))|\.(?:nan|NaN|NAN)",
}
_KINDS: Final = {"null": "null", "bool": "true or false", "int": "whole number", "float": "number", "str": "text"}
_SCALARS: Final = tuple(_TAG + kind for kind in _KINDS)
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


class Unreadable(ValueError):
    """Text that is no YAML of a job file.

    Attributes:
        problem: What is wrong with it, in one line.
        place: Line and column, from 1; None for the text as a whole.
        too_much: Whether it is wrong in nothing but its size.
    """

    def __init__(self, problem: str, place: tuple[int, int] | None = None, *, too_much: bool = False) -> None:
        super().__init__(problem)
        self.problem, self.place, self.too_much = shortened(problem), place, too_much


class Document(NamedTuple):
    """What YAML says.

    Attributes:
        value: Dictionaries, lists, texts, numbers, truth values and nulls, no part of which is there twice.
        lines: Line (from 1) of every key and entry, by its place.
    """

    value: Any
    lines: dict[Place, int]


class _Extent(NamedTuple):
    """How much a node holds, with its aliases written out."""

    values: int
    characters: int
    depth: int


class _Loader(yaml.SafeLoader):
    """YAML 1.1 (and 1e-3 a number) without dates, binary data, sets and whatever else no job needs, and with limits."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own
        first: [
            (tag, re.compile(f"^(?:{_NUMBERS[tag]})$") if tag in _NUMBERS else pattern)
            for tag, pattern in resolvers
            if tag != f"{_TAG}timestamp"
        ]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values = self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """The next node.

        Raises:
            Unreadable: It is one too many.
        """
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        self._values += 1
        self._depth += 1
        _limited(self._values, MOST_VALUES, of_what="keys and values", mark=mark)
        _limited(self._depth, DEEPEST, of_what="levels", mark=mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(node, yaml.ScalarNode):
            _limited(len(node.value), LONGEST_TEXT, of_what="characters in one text", mark=node.start_mark)
            if (found := _CONTROL.search(node.value)) is not None:
                raise _at(f"the control character {found.group()!r} is not for job files", node.start_mark)
        elif isinstance(node, yaml.MappingNode):
            _limited(len(node.value), MOST_KEYS, of_what="keys in one place", mark=node.start_mark)
        elif isinstance(node, yaml.SequenceNode):
            _limited(len(node.value), MOST_ENTRIES, of_what="entries in one list", mark=node.start_mark)
        return node

    def measured(self, node: yaml.Node, known: dict[int, _Extent | None]) -> _Extent:
        """How much a node holds.

        Raises:
            Unreadable: Too much, or itself.
        """
        if id(node) in known:
            extent = known[id(node)]
            if extent is None:
                raise _at("a value is part of itself", node.start_mark)
            return extent
        known[id(node)] = None
        values, characters, depth = 1, 0, 0
        for part in _parts(node):
            inner = self.measured(part, known)
            values, characters, depth = values + inner.values, characters + inner.characters, max(depth, inner.depth)
        if isinstance(node, yaml.ScalarNode):
            characters = len(node.value)
        extent = known[id(node)] = _Extent(values, characters, depth + 1)
        _limited(extent.values, MOST_VALUES, of_what="keys and values, aliases written out", mark=node.start_mark)
        _limited(extent.characters, LARGEST_FILE, of_what="characters, aliases written out", mark=node.start_mark)
        _limited(extent.depth, DEEPEST, of_what="levels, aliases written out", mark=node.start_mark)
        return extent

    def plain(self, node: yaml.Node) -> Any:
        """The value of a node, as if its aliases were written out.

        Raises:
            Unreadable: It is no plain value.
        """
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
            self.flatten_mapping(node)
            found = {self._key(key): self.plain(value) for key, value in node.value}
            _limited(len(found), MOST_KEYS, of_what="keys in one place", mark=node.start_mark)
            return found
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
            return [self.plain(entry) for entry in node.value]
        if not isinstance(node, yaml.ScalarNode) or node.tag not in _SCALARS:
            raise _at(f"{node.tag.removeprefix(_TAG)!r} is no type of a job file", node.start_mark)
        return self._scalar(node)

    def _key(self, node: yaml.Node) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            raise _at("while constructing a mapping, a key is no text", node.start_mark)
        return self.plain(node)

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        kind = node.tag.removeprefix(_TAG)
        try:
            value = self.construct_object(node)
        except (ValueError, KeyError, IndexError):  # such as !!int x, !!int "", and a number of 5,000 digits
            digits = node.value.lstrip("+-").replace("_", "")
            if kind != "int" or not digits.isdecimal():
                raise _at(f"{shortened(node.value, 40)!r} is no {_KINDS[kind]}", node.start_mark) from None
            value = LARGEST_NUMBER + 1
        if kind == "int" and abs(value) > LARGEST_NUMBER:
            raise _at("a whole number must be below 2^63", node.start_mark)
        return value


def read_yaml(text: str, problems: Problems) -> Document:
    """What the YAML in ``text`` says; a key that is given twice is a problem.

    Raises:
        Unreadable: It is none, or more than a job needs.
    """
    if len(text) > LARGEST_FILE:
        raise Unreadable(f"more than {LARGEST_FILE:,} characters", too_much=True)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return Document(None, {})
        loader.measured(node, {})
        lines = line_numbers(node, problems)  # before merging (<<) moves keys
        return Document(loader.plain(node), lines)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        place = (before.count("\n") + 1, len(before) - before.rfind("\n"))
        raise Unreadable(f"unacceptable character #x{ord(text[error.position]):04x}", place) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        parts = [part for part in (error.context, error.problem) if part]
        where = None if mark is None else (mark.line + 1, mark.column + 1)
        raise Unreadable(", ".join(parts), where) from error


def _parts(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _limited(found: int, most: int, *, of_what: str, mark: yaml.Mark) -> None:
    if found > most:
        raise _at(f"more than {most:,} {of_what}", mark, too_much=True)


def _at(problem: str, mark: yaml.Mark, *, too_much: bool = False) -> Unreadable:
    return Unreadable(problem, (mark.line + 1, mark.column + 1), too_much=too_much)
