"""Names that are known without importing Optuna."""

from typing import Final

GRID: Final = "grid"
"""The sampler that enumerates a space once; each cell runs once."""
