"""What a promotion leaves in a sweep's journal: one of its events (``jobs.store.events``)."""

from dataclasses import dataclass
from typing import Literal

from pydantic import StrictBool, StrictFloat, StrictStr

from jobs.store.intervals import StatedInterval
from jobs.store.names import SweepName, TrialName


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaderScores:
    """A candidate of a promotion; see ``jobs.promotion.selection.Leader``. ``seeds`` has the score of each run."""

    trial: TrialName
    validation: StatedInterval
    behind: StatedInterval
    tied: StrictBool
    score_a: StatedInterval
    seeds: tuple[StrictFloat | None, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedSpread:
    """A variance over seeds; see ``jobs.promotion.seeds.SeedVariance``."""

    variance: StrictFloat
    degrees: StrictFloat
    source: Literal["replicates", "earlier sweeps"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """A configuration was picked and registered, the best or a user's; see ``jobs.promotion.selection.Choice``.

    Attributes:
        picked: Name of the trial.
        score_b: On block B.
        leaders: Those that were re-scored.
        tied: Names of all configurations that may be as good; None where that is unknown.
        forecast: Of the final run's score.
        seed_variance: Over seeds, and its degrees of freedom; None where it is unknown.
        registered: The registered model and its version.
        final: Name of the final run.
        by_hand: Whether a user chose it.
    """

    event: Literal["promoted"] = "promoted"
    picked: TrialName
    score_b: StatedInterval
    leaders: tuple[LeaderScores, ...]
    tied: tuple[TrialName, ...] | None = None
    forecast: StatedInterval | None = None
    seed_variance: StatedSpread | None = None
    registered: StrictStr | None = None
    final: SweepName | None = None
    by_hand: StrictBool = False

    def on_forecast(self, found: float, measure: str, *, same_budget: bool) -> str | None:
        """What the forecast was worth, in words; None where there was none.

        It is made on meta-validation classes, where there are classes, and those of the test may be easier or harder:
        no number of seeds or tasks says by how much, so the interval claims nothing of it.

        Args:
            found: The final run's mean.
            measure: What it is, ``loss`` or ``accuracy``.
            same_budget: Whether the final run was trained as long as the sweep's trials, of which the forecast is made.
        """
        seen = self.forecast
        if seen is None or seen.mean is None or seen.half_width is None:
            return None
        verdict = "inside" if abs(found - seen.mean) <= seen.half_width else "outside"
        said = f"{verdict} its interval (95%)"
        if measure == "accuracy":
            said = "of meta-validation classes, and found of test classes, which may be easier or harder"
        if not same_budget:
            said = "for the sweep's budget, and the final run had another"
        return f"forecast {seen.mean:.4f} ± {seen.half_width:.4f}, found {found:.4f}: {said}"
