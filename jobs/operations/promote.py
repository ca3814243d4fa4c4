"""``oplstm promote``: from a sweep to the final run of its best configuration.

Every step is remembered where it was made (replicates and the choice in the sweep's journal, the model in the registry,
the final run in its folder), so that promoting again goes on where it was cut off, and afterwards changes nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jobs.execution.devices import choose_device
from jobs.jobfile.resolving import final_budget
from jobs.jobfile.sections import Replicates
from jobs.operations.control import Means, resume
from jobs.operations.extend import more_seeds
from jobs.operations.family import as_named_now
from jobs.operations.replicate import Plan, plan_replicates, plan_round, replicates_of
from jobs.operations.running import Outcome, require_idle
from jobs.operations.start import NewSweep, start_here
from jobs.operations.trust import check_plugins
from jobs.promotion.final_job import final_job
from jobs.promotion.seeds import SeedVariance, pooled
from jobs.promotion.selection import Choice, Rescore, block_seed, choose, configurations, rescore_with, rescored
from jobs.promotion.standing import Configuration
from jobs.store.extended import extended_job
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder
from jobs.store.names import trial_name
from jobs.store.promoted import Promoted
from jobs.store.scores import final_result
from jobs.store.state import SweepState
from jobs.store.states import SweepKind, TrialState
from jobs.sweep.messages import OnProgress
from oplstm.configuration import Problems, build
from oplstm.episodes.split import Split
from oplstm.errors import RequestError, WorkError, shown
from oplstm.training.budget import Budget
from oplstm.training.device import Device


@dataclass(frozen=True)
class Promotion:
    """How far the promotion of a sweep is.

    Attributes:
        folder: Of the sweep.
        header: Of the sweep.
        state: Of the sweep.
        plan: Its replicates.
        asked: How many replicates are wanted; None for none.
        made: What was picked, if nothing has ended since; promoting again gives the same answer.
        chosen: Name of the trial that a user wants promoted; None for the best.
    """

    folder: SweepFolder
    header: Header
    state: SweepState
    plan: Plan
    asked: Replicates | None
    made: Promoted | None
    chosen: str | None = None

    @classmethod
    def of(
        cls, folder: SweepFolder, asked: Replicates | int | None = None, *, chosen: str | None = None
    ) -> "Promotion":
        """That of a sweep.

        Args:
            folder: Of the sweep.
            asked: How many replicates; 0 for none, None for as many as the job says, and for none of a chosen trial.
            chosen: Name of the trial to promote; None for the best, or for what was chosen before.

        Raises:
            RequestError: It is running, is a final run, or no trial of it has completed; or the chosen one has no
                weights.
        """
        require_idle(folder)
        folder.check_links()
        header = Header.read(folder)
        if header.kind is not SweepKind.SWEEP:
            raise RequestError(f"{folder.name} is a {header.kind} run; promote takes a sweep")
        check_plugins(header, trust=False)
        state = SweepState.of(folder, header)
        if chosen is not None:
            _check_chosen(state, chosen, name=folder.name)
            asked = asked or 0
        fresh = (trial for trial in state.trials.values() if not trial.is_warm)
        complete = [trial for trial in fresh if trial.state is TrialState.COMPLETE]
        ranked = sorted(complete, key=lambda trial: (trial.cost, trial.number))
        wanted = replicates_of(header.job, len(ranked)) if asked is None else asked or None
        wanted = None if isinstance(wanted, int) else wanted
        plan = plan_replicates(header.job, state, ranked, asked=wanted)
        made = as_named_now(Home(folder.home), header, state.promotion)
        if made is not None and not (
            made.final is not None
            and state.ends == state.ends_at_promotion
            and (made.by_hand or not plan.missing)
            and chosen in (None, made.picked)
        ):
            made = None
        return cls(folder, header, state, plan, wanted, made, chosen)

    @property
    def anew(self) -> str | None:
        """That the sweep was promoted and has gone on since, in a line."""
        before = self.state.promotion
        if before is None or self.state.ends == self.state.ends_at_promotion:
            return None
        return f"{self.folder.name} was promoted before ({before.picked}) and has gone on since: it is promoted anew"

    @property
    def same_budget(self) -> bool:
        """Whether the final run is trained as long as the sweep's trials were."""
        job = self.header.job
        return self._budget(final_budget(job)).total == self._budget(job.budget).total

    @property
    def missing(self) -> str | None:
        """What an unfinished sweep lacks, in a line."""
        state, job = self.state, self.header.job
        unended = len(state.trials) - state.ended
        if state.exhausted and not unended:
            return None
        unasked = (
            0 if job.trial_limit is None or state.exhausted else job.trial_limit - len(state.trials) + state.live.added
        )
        name = self.folder.name
        return f"{name} has not ended: {unended + unasked} of its trials are missing; oplstm resume {name} trains them"

    def rescorer(self, told: Callable[[str], None] | None = None) -> Rescore:
        """Scores runs on blocks that no other promotion has used, each once.

        Args:
            told: Hears what is being scored.

        Raises:
            RequestError: No trial has completed.
            WorkError: A file of one is damaged.
        """
        return rescore_with(
            self.folder,
            self.header.measure,
            seed=block_seed(self.header.id, self._found(), self.state.promotions),
            tasks=self.header.job.promotion.tasks,
            device=Device(choose_device(self.header.job.final.gpus), data=self.folder.data),
            told=told,
        )

    def next_plan(self, rescore: Rescore) -> Plan:
        """The replicates to train next, and then again until none are missing: a race has several rounds."""
        if self.asked is None or self.asked.race is None or self.plan.missing:
            return self.plan
        leaders = [rescored(one, rescore, Split.PROMOTION_A) for one in self._found()[: self.asked.leaders]]
        return plan_round(self.header.job, self.state, leaders=leaders, race=self.asked.race)

    def choose(self, home: Home, rescore: Rescore, *, seeds: int | None = None) -> Choice:
        """Pick the best configuration by meta-validation.

        Args:
            home: Where earlier sweeps are.
            rescore: Scores runs on fresh blocks.
            seeds: Of the final run; None for as many as the job says.

        Raises:
            RequestError: No trial has completed.
            WorkError: A file of one is damaged.
        """
        job = self.header.job
        return choose(
            self._found(),
            rescore,
            self.header.measure,
            leaders=job.promotion.leaders,
            earlier=earlier_spread(home, self.header),
            final_seeds=seeds or job.final.seeds,
            final_tasks=self._budget(final_budget(job)).test_tasks,
            chosen=self.chosen,
        )

    def _budget(self, values: dict[str, Any]) -> Budget:
        problems = Problems()
        budget = build(Budget, values, problems)
        if budget is None:
            raise RequestError(f"{self.folder.header}: its job has no budget: {'; '.join(problems.lines())}")
        return budget

    def _found(self) -> list[Configuration]:
        return configurations(self.folder, self.state, self.header.measure, chosen=self.chosen)


def _check_chosen(state: SweepState, chosen: str, *, name: str) -> None:
    """See that a trial can be promoted.

    Raises:
        RequestError: It cannot.
    """
    trial = state.by_name.get(chosen)
    if trial is None:
        raise RequestError(f"{name} has no trial {shown(chosen)}; oplstm status {name} shows its trials")
    if trial.replicate:
        raise RequestError(f"{chosen} is one more seed of {trial_name(trial.number)}: promote that one")
    if trial.is_warm:
        raise RequestError(
            f"{chosen} of {name} began with {trial.began_with}, and a final run begins with fresh ones, so it would "
            f"show something else; oplstm add {name} --like {chosen} tries its configuration so"
        )
    if trial.state not in (TrialState.COMPLETE, TrialState.PRUNED) or trial.pack is None:
        wanted = "promote takes one that is complete, or that was pruned while it was trained"
        raise RequestError(f"{chosen} of {name} is {trial.state}; {wanted}")


def earlier_spread(home: Home, header: Header) -> SeedVariance | None:
    """The variance over seeds that promotions of other sweeps of the same learner and benchmark have found."""
    found = []
    for folder in home.all_sweeps():
        try:
            other = Header.read(folder)
            alike = (other.job.learner, other.job.benchmark) == (header.job.learner, header.job.benchmark)
            if not alike or other.id == header.id or other.kind is not SweepKind.SWEEP:
                continue
            promotion = SweepState.of(folder, other).promotion
        except (RequestError, WorkError, OSError):  # another sweep's damage is not this one's
            continue
        if promotion is not None and promotion.seed_variance is not None:
            found.append(promotion.seed_variance)
    return pooled([SeedVariance.of(one) for one in found if one.source == "replicates"])


def final_run(
    home: Home,
    folder: SweepFolder,
    made: Promoted,
    *,
    seeds: int | None,
    uri: str | None,
    progress: OnProgress,
    more: int = 0,
    notice: Callable[[str], None] = lambda line: None,
) -> Outcome:
    """Train the picked configuration over several seeds: start it, go on with it, or say what it found.

    Args:
        home: Where.
        folder: Of the sweep.
        made: What was picked.
        seeds: How many; None for as many as the job says.
        uri: Of the MLflow server; None for the embedded one.
        progress: Shows it.
        more: Seeds that join those of a final run that has ended.
        notice: Told in a line that it has not, and that none join it.

    Raises:
        RequestError: The name of the final run is another's, its number of seeds is another, or there is none to join.
        WorkError: It failed.
    """
    header, name = Header.read(folder), made.final or ""
    final = home.sweep_folder(name)
    if not final.header.is_file():
        if more:
            raise RequestError(
                f"{folder.name} has no final run yet that seeds could join: oplstm promote {folder.name}"
            )
        job = final_job(header.job, SweepState.of(folder, header).by_name[made.picked], seeds=seeds)
        new = NewSweep(job, name, SweepKind.FINAL, experiment=header.experiment, tracking_uri=uri, of=header.id)
        return start_here(home, new, progress=progress)
    other = Header.read(final)
    if other.of != header.id or other.kind is not SweepKind.FINAL:
        raise RequestError(f"{name} is no final run of {folder.name}: move {final.path} away and promote again")
    state = SweepState.of(final, other)
    there = extended_job(other.job, state.extensions).seeds
    if seeds is not None and seeds != there:
        mend = f"; oplstm promote {folder.name} --again {seeds - there} adds those that are missing"
        raise RequestError(
            f"{name}, the final run of {folder.name}, has {there} seeds, and {seeds} are asked for"
            f"{mend if seeds > there else ''}"
        )
    if not state.finished:
        if more:
            notice(f"{name} had not ended: it goes on with its {there} seeds, and --again adds none")
        return resume(home, name, progress=progress, means=Means(uri))
    if more:
        return more_seeds(home, name, count=more, means=Means(uri), progress=progress)
    return Outcome(final, None, 0, final_result(final, state))
