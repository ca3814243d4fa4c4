"""What Python code may call, from signatures and docstrings."""

import importlib
import inspect
import re
from typing import Any

from docs.site.markdown import ENTRY, SECTIONS, prose, table


def described(place: str) -> str:
    """A module's public names, or a class with its public members, by its dotted path."""
    module, _, name = place.rpartition(".")
    try:
        owner = importlib.import_module(place)
    except ModuleNotFoundError:
        return "\n\n".join(_of_class(getattr(importlib.import_module(module), name)))
    parts = []
    for public in owner.__all__:
        thing = getattr(owner, public)
        parts += _of_class(thing) if inspect.isclass(thing) else _of_function(thing, level=2)
    return "\n\n".join(parts)


def _of_class(cls: Any) -> list[str]:
    parts = [f"## {cls.__name__}", f"```python\nclass {cls.__name__}{_signature(cls)}\n```", *_doc(cls)]
    for name, member in vars(cls).items():
        function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if name.startswith("_") or not (inspect.isfunction(function) or isinstance(function, property)):
            continue
        parts += _of_function(function, level=3, name=name, owner=cls.__name__)
    return parts


def _of_function(function: Any, *, level: int, name: str = "", owner: str = "") -> list[str]:
    name = name or function.__name__
    title = f"{'#' * level} {owner}{'.' if owner else ''}{name}"
    if isinstance(function, property):
        return [title, *_doc(function)]
    return [title, f"```python\n{name}{_signature(function)}\n```", *_doc(function)]


def _signature(function: Any) -> str:
    text = str(inspect.signature(function))
    return re.sub(r"~|'|\b(?:[a-z_]+\.)+(?=[A-Z])", "", text)


def _doc(owner: Any) -> list[str]:
    """A docstring's paragraphs, and its sections as tables."""
    text = inspect.getdoc(owner) or ""
    before, *sections = re.split(rf"^({'|'.join(SECTIONS)}):\n", text, flags=re.MULTILINE)
    parts = [prose(paragraph) for paragraph in before.split("\n\n") if paragraph.strip()]
    for title, body in zip(sections[::2], sections[1::2], strict=True):
        rows = ENTRY.findall(body)
        if title in ("Returns", "Yields") or not rows:
            parts.append(f"**{title}:** {prose(body)}")
        else:
            parts.append(table([title.lower(), "meaning"], [[f"`{name}`", prose(text)] for name, text in rows]))
    return parts
