"""What a trial took of memory: that of the process which trained its pack, and how many runs shared it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

PEAK: Final = "train/peak_memory"
SHARING: Final = "train/sharing"


@dataclass(frozen=True, slots=True, order=True)
class Memory:
    """The most that a pack's process had up to the end of one of its runs.

    Attributes:
        peak: Bytes, resident or, on a GPU, allocated by it.
        sharing: The most runs that were in the pack at once.
    """

    peak: float
    sharing: int

    @classmethod
    def of(cls, metrics: Mapping[str, float]) -> "Memory | None":
        """That among the metrics of an end; None where nobody told."""
        return cls(metrics[PEAK], int(metrics[SHARING])) if metrics.keys() >= {PEAK, SHARING} else None

    @classmethod
    def most(cls, *known: "Memory | None") -> "Memory | None":
        """The one with the higher peak, of those that are known."""
        return max((one for one in known if one is not None), default=None)

    def metrics(self) -> dict[str, float]:
        """By name, as an end tells them."""
        return {PEAK: self.peak, SHARING: float(self.sharing)}
