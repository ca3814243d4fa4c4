"""``oplstm explain``: why a trial ended as it did, from the journal and the files of its sweep."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from jobs.operations.pruning import Pruned, PruneHistory
from jobs.operations.running import is_running
from jobs.operations.trials import find_trial, has_own_seed
from jobs.store.events import Ended, Event, Joined, Packed, Params, Rerun, Resumed, Sized, Split, Started
from jobs.store.header import Header
from jobs.store.home import Home, SweepFolder, check_plain
from jobs.store.state import SweepState
from jobs.store.states import TrialState
from jobs.store.trial import Trial

LAST_LINES: Final = 8
"""Of a traceback, and of what the log of the packs says."""
MOST_BYTES: Final = 200_000


@dataclass
class InPack:
    """A trial in a pack.

    Attributes:
        pack: Its name.
        joined: The pack's update at which the trial came in; None for before the first.
        runs: How many ever shared it.
        device: What it was trained on, as tags.
        begun: How often a process began to train it.
        resumed: How many of them because the sweep went on after a stop or a kill.
    """

    pack: str
    joined: int | None = None
    runs: int = 0
    device: dict[str, str] = field(default_factory=dict)
    begun: int = 0
    resumed: int = 0

    @property
    def retried(self) -> int:
        """How often it was tried again after its process had died or had raised an error."""
        return max(0, self.begun - self.resumed - 1)


@dataclass(frozen=True)
class Explanation:
    """What there is to know of a trial.

    Attributes:
        sweep: Name of its sweep.
        trial: Its name.
        state: Where it is.
        why: One line: why it is there.
        update: Its last meta-update of which anything was told; None where nothing was.
        best: Its best validation value.
        best_update: Update of its best weights; None while it has not ended.
        measure: What the values are.
        pruned: The decision, where the pruner ended it.
        params: The point of the space.
        run: The run that it means: learner, hyperparameters, benchmark, budget, seeds; empty where there is none.
        packs: Those that it was in, in order.
        rerun: How often it was trained again after it had failed or diverged.
        error: The last lines of its traceback.
        error_file: Where the whole is; None where there is none.
        log: What the log of the packs says of it, the newest lines.
        command: What trains it alone, in the foreground; None where it means no run.
        same_seed: Whether that has the trial's own seeds.
    """

    sweep: str
    trial: str
    state: TrialState
    why: str
    update: int | None
    best: float | None
    best_update: int | None
    measure: str
    pruned: Pruned | None
    params: Params
    run: dict[str, Any]
    packs: tuple[InPack, ...]
    rerun: int
    error: tuple[str, ...]
    error_file: str | None
    log: tuple[str, ...]
    command: str | None
    same_seed: bool

    def to_json(self) -> dict[str, Any]:
        """Plain data for JSON."""
        packs = [{**asdict(one), "retried": one.retried} for one in self.packs]
        return {**asdict(self), "packs": packs}


def explain(home: Home, name: str, trial: str) -> Explanation:
    """Why a trial of a sweep is where it is.

    Args:
        home: Where the sweep is.
        name: Of the sweep.
        trial: Name of the trial, or its number.

    Raises:
        RequestError: There is no such trial, or the sweep's files are of another version.
        WorkError: The journal is damaged.
    """
    folder = home.sweep(name)
    header = Header.read(folder)
    wanted = find_trial(SweepState.of(folder, header), trial, sweep=name).name
    state, story = SweepState(header.measure), _Story(wanted)
    history = PruneHistory(header, wanted)
    for read in state.replay(folder.journal):
        story.take(read.event, state)
        history.take(read.event, state)
    found = state.by_name[wanted]
    failed = found.state is TrialState.FAILED
    error_file = folder.error(wanted) if failed and folder.error(wanted).exists() else None
    names = {wanted, *(pack.pack for pack in story.packs)}
    ended = found.state.ended and bool(found.points)
    began = f"; it began with {found.began_with}" if found.is_warm else ""
    return Explanation(
        sweep=name,
        trial=wanted,
        state=found.state,
        why=_why(found, history.pruned, story, running=is_running(folder), sweep=name) + began,
        update=story.update if story.update is not None else _last_update(found),
        best=found.best,
        best_update=found.best_update if ended else None,
        measure=header.measure.name,
        pruned=history.pruned if found.state is TrialState.PRUNED else None,
        params=found.params,
        run=found.run,
        packs=tuple(pack for pack in story.packs if pack.begun or pack is story.packs[-1]),
        rerun=story.rerun,
        error=() if error_file is None else tuple(_last_lines(error_file)),
        error_file=None if error_file is None else str(error_file),
        log=tuple(_log_lines(folder, names)),
        command=f"oplstm train {name}/{wanted}" if found.run else None,
        same_seed=has_own_seed(header, found),
    )


class _Story:
    """What the events of a journal say of one trial beside its state.

    Args:
        name: Of the trial.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._stopped = False
        self.packs: list[InPack] = []
        self.rerun = 0
        self.update: int | None = None

    def take(self, event: Event, state: SweepState) -> None:
        """The next event, which the state has taken in."""
        match event:
            case Packed() | Sized() | Joined() if self._name in event.trials:
                self._comes_into(event.pack, state)
            case Split() | Rerun() if self._name in event.trials:
                self.rerun += isinstance(event, Rerun)
                self._comes_into(event.into, state)
            case Resumed():
                self._stopped = True
            case Started() if self.packs and self.packs[-1].pack == event.pack:
                pack = self.packs[-1]
                pack.resumed += self._stopped and pack.begun > 0
                pack.begun += 1
                pack.device, self._stopped = event.device, False
            case Ended() if event.trial == self._name:
                self.update = event.update
            case _:
                pass
        if self.packs:
            self.packs[-1].runs = len(state.packs[self.packs[-1].pack].trials)

    def _comes_into(self, pack: str, state: SweepState) -> None:
        if not self.packs or self.packs[-1].pack != pack:
            self.packs.append(InPack(pack, state.by_name[self._name].joined))
            self._stopped = False


def _last_update(trial: Trial) -> int | None:
    return int(trial.points[-1]["update"]) if trial.points else None


def _why(trial: Trial, pruned: Pruned | None, story: _Story, *, running: bool, sweep: str) -> str:
    """The state in words."""
    note, goes_on = trial.note, f"; oplstm resume {sweep} goes on with it"
    last = story.update if story.update is not None else _last_update(trial)
    match trial.state:
        case TrialState.WAITING:
            return "waits for a pack" if running else f"is in no pack yet{goes_on}"
        case TrialState.RUNNING:
            return "is being trained" if running else f"was being trained when its sweep died{goes_on}"
        case TrialState.STOPPED:
            return f"was stopped at update {last or 0}" + ("" if running else goes_on)
        case TrialState.COMPLETE:
            whole = note or "was trained to the end of its budget"
            return f"{whole}: {last} updates, its best weights are those of update {trial.best_update}"
        case TrialState.PRUNED if pruned is not None:
            return pruned.words()
        case TrialState.DIVERGED if not note:
            return f"diverged at update {last}"
    return note or str(trial.state)


def _last_lines(path: Path) -> list[str]:
    """Of a file of text, as far as it is one."""
    check_plain(path)
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - MOST_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return [line for line in lines if line.strip()][-LAST_LINES:]


def _log_lines(folder: SweepFolder, names: set[str]) -> list[str]:
    """The newest lines of the log of the packs that name one of these."""
    check_plain(folder.pack_log)
    if not folder.pack_log.is_file():
        return []
    with folder.pack_log.open("rb") as file:
        file.seek(max(0, folder.pack_log.stat().st_size - MOST_BYTES))
        lines = file.read().decode(errors="replace").splitlines()
    return [line for line in lines if names.intersection(line.replace(",", " ").split())][-LAST_LINES:]
