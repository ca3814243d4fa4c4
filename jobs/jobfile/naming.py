"""Names that a job file's own name becomes: those of its MLflow experiment and of the model that is registered."""

from typing import Final

FORBIDDEN: Final = "/:?#"
LONGEST_NAME: Final = 250
"""What the databases of MLflow and the headers of sweeps hold."""


def unfit_name(name: str) -> str | None:
    """Why MLflow could not give this name to a registered model, or could not find one by it; None if it can.

    MLflow refuses ``/``, ``:``, blank names and those that are paths; ``?`` and ``#`` would end a model's URI.
    """
    if not name.strip() or name.startswith("..") or name == ".":
        return f"{name!r} is no name for them"
    if (found := next((letter for letter in name if letter in FORBIDDEN), None)) is not None:
        return f"{found!r} cannot be part of their names"
    if not name.isprintable():
        return "control characters cannot be part of their names"
    if len(name) > LONGEST_NAME:
        return f"their names have at most {LONGEST_NAME} characters, got {len(name)}"
    return None
