"""Where a job file says what, so that every error can name its place."""

from collections.abc import Mapping
from typing import Final

import yaml

from oplstm.configuration import Problems
from oplstm.errors import quoted

SNIPPET: Final = 80
"""Characters of a line that are shown."""

Place = tuple[str, ...]
"""The keys that lead to a value, such as ``("budget", "tasks")``."""


def line_numbers(node: yaml.Node | None, problems: Problems, path: Place = ()) -> dict[Place, int]:
    """Line (from 1) of every key of a YAML document, by its path; a key that is given twice is a problem."""
    found: dict[Place, int] = {}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            place, line = (*path, key.value if isinstance(key, yaml.ScalarNode) else "[]"), key.start_mark.line + 1
            if place in found:
                problems.add(place, f"is given twice, in lines {found[place]} and {line}")
            found[place] = line
            found |= line_numbers(value, problems, place)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            place = (*path, str(index))
            found[place] = value.start_mark.line + 1
            found |= line_numbers(value, problems, place)
    return found


def located(
    path: Place, message: str, *, source: str, lines: Mapping[Place, int], overrides: Mapping[Place, str]
) -> str:
    """``path: message (where it was written)``.

    Args:
        path: What the message is about.
        message: What is wrong with it.
        source: Name of the job file.
        lines: Line of every path in it.
        overrides: What the command line set, by path.
    """
    place = source
    for length in range(len(path), 0, -1):
        written = [text for set_path, text in overrides.items() if set_path[: len(path)] == path[:length]]
        if written:
            place = written[-1]
            break
        replaced = any(path[:length][: len(set_path)] == set_path for set_path in overrides)
        if path[:length] in lines and not replaced:
            place = f"{source}, line {lines[path[:length]]}"
            break
    return f"{'.'.join(map(quoted, path))}: {message} ({place})"


def pointed(text: str, line: int, column: int) -> str:
    """The line of ``text``, and below it a caret under the column; both counted from 1.

    Past the end of the text it is the last line that says something, and the caret stands behind it.
    """
    lines = text.splitlines()[:line]
    if len(lines) < line or not lines[-1].strip():
        while lines and not lines[-1].strip():
            lines.pop()
        column = len(lines[-1]) + 1 if lines else 1
    shown_line = "".join(letter if letter.isprintable() else " " for letter in lines[-1]) if lines else ""
    start = max(0, column - SNIPPET)
    return f"  {shown_line[start : start + SNIPPET]}\n  {' ' * (column - 1 - start)}^"
