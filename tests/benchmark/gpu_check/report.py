"""What the check found so far, as a JSON document and as Markdown."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from oplstm.durable import write_file
from tests.benchmark.tables import table

VERSION = 1


@dataclass
class PartReport:
    """A part of the check.

    Attributes:
        name: By which it is asked for.
        title: For a person.
        state: ``failed`` if there was any error.
        seconds: That it took.
        errors: What went wrong.
        tables: Rows by the title of their table.
    """

    name: str
    title: str
    state: Literal["running", "done", "failed"] = "running"
    seconds: float | None = None
    errors: list[str] = field(default_factory=list)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def markdown(self) -> str:
        """All of it."""
        took = "" if self.seconds is None else f" in {self.seconds:.0f} s"
        errors = [f"```\n{error.strip()}\n```\n" for error in self.errors]
        tables = [table(title, rows) for title, rows in self.tables.items()]
        return "\n".join([f"## {self.title}: {self.state}{took}\n", *tables, *errors])


class Report:
    """The whole check, in two files that are written anew with every row.

    Args:
        json_file: Where the document goes.
        markdown_file: Where the tables go.
    """

    def __init__(self, json_file: Path, markdown_file: Path) -> None:
        self._json, self._markdown = json_file, markdown_file
        self.machine: dict[str, Any] = {}
        self.parts: list[PartReport] = []
        for file in (json_file, markdown_file):
            file.parent.mkdir(parents=True, exist_ok=True)
        self._write()

    @property
    def failed(self) -> bool:
        """Whether any part has."""
        return any(part.errors for part in self.parts)

    def begin(self, name: str, title: str) -> None:
        """Whatever is taken from now on belongs to this part."""
        self.parts.append(PartReport(name, title))
        self._write()

    def take(self, message: dict[str, Any]) -> None:
        """What a part said."""
        part = self.parts[-1]
        if "machine" in message:
            self.machine |= message["machine"]
        elif "error" in message:
            part.errors.append(message["error"])
        else:
            part.tables.setdefault(message["table"], []).append(message["row"])
        self._write()

    def end(self, seconds: float) -> PartReport:
        """The part is over."""
        part = self.parts[-1]
        part.state, part.seconds = "failed" if part.errors else "done", seconds
        self._write()
        return part

    def _write(self) -> None:
        document = {"version": VERSION, "machine": self.machine, "parts": [asdict(part) for part in self.parts]}
        write_file(self._json, json.dumps(document, indent=1))
        facts = [f"* {name}: {value}" for name, value in self.machine.items() if value is not None]
        parts = [part.markdown() for part in self.parts]
        write_file(self._markdown, "\n".join(["# GPU check", "", *facts, "", *parts]))
