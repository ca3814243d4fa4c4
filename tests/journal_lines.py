"""Journals that somebody has altered and whose checksums are right all the same."""

import json
from collections.abc import Sequence

from tracking.journal.checksums import LENGTH, Chain, sealed, stated


def resealed(lines: Sequence[bytes]) -> bytes:
    """A journal of these lines, of which the first is a header, with checksums in place of those that they had."""
    head, *groups = lines
    last, made = Chain.after_header(head).last, [head]
    for line in groups:
        text = line[:-LENGTH] + b"]" if stated(line) is not None else line.rstrip(b"\n")
        sealed_line, last = sealed(text, last)
        made.append(sealed_line)
    return b"".join(made)


def groups_in(journal: bytes) -> list[list[dict]]:
    """The records of each line of a journal of today, as a person with a reader of JSON gets them."""
    return [json.loads(line)[:-1] for line in journal.splitlines()[1:]]
