"""Equations, the fences named ``math``, as MathML: browsers draw it themselves, without scripts or fonts of ours."""

from typing import Any

from latex2mathml.converter import convert


def formula(source: str, *_: Any, **__: Any) -> str:
    """A block of LaTeX, each line of it a formula of its own; called by ``pymdownx.superfences``."""
    lines = [convert(line, display="block") for line in source.splitlines() if line.strip()]
    return f'<div class="formula">{"".join(lines)}</div>'
