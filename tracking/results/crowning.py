"""Which version of a registered model is its champion: the one that is best by meta-validation, as its tags say."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

VALUE: Final = "oplstm.validation"
OF: Final = "oplstm.validation_of"
ON: Final = "oplstm.validation_on"


@dataclass(frozen=True)
class Validated:
    """What a version is worth by meta-validation; kept in its tags, so that nothing is downloaded to compare two.

    Attributes:
        value: The score; nan where there is none.
        higher_is_better: Whether a larger one is.
        of: What it is the score of, for a person.
        on: What it was measured by and on which tasks; versions that differ in it are not compared.
    """

    value: float
    higher_is_better: bool
    of: str
    on: str

    def tags(self) -> dict[str, str]:
        """It, as tags."""
        return {VALUE: repr(self.value), OF: self.of, ON: self.on}

    def behind(self, champion: Mapping[str, str]) -> str | None:
        """Why a version must not take the place of a champion with these tags; None where it may.

        It may where it is not worse, or the champion's score is nan.
        """
        try:
            value = float(champion[VALUE])
        except (KeyError, ValueError):
            return f"its meta-validation is {self}, and that of the champion is unknown"
        both = f"its meta-validation is {self}, that of the champion {value:.4g} ({champion.get(OF, '')})"
        if champion.get(ON) != self.on:
            return f"{both}, on other tasks"
        sign = -1.0 if self.higher_is_better else 1.0
        if math.isnan(value) or sign * self.value <= sign * value:
            return None
        return both

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.of})"
