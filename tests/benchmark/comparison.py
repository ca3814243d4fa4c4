"""Packs of ours beside one task at a time, taking turns: tasks a second, memory, and what is not training."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream
from oplstm.training.evaluation import AT_ONCE
from oplstm.training.machine.memory import predicted_memory
from oplstm.training.pack import Pack
from oplstm.training.update.task_feed import TaskFeed
from oplstm.training.update.task_groups import TaskGroups
from tests.benchmark.measuring import Bench, Steps
from tests.benchmark.settings import Setting

GATHERED = 3
"""Meta-batches whose pixels are gathered to time it."""
GROWTH = 4
"""Of a sample of validation tasks that took too little time to tell how long all of them take."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """What was measured of one contender; medians over the bursts.

    Attributes:
        learner: Its name.
        convention: ``authors`` or ``paper``.
        contender: ``nn.LSTM``, ``nn.LSTMCell`` or ``loop``, one task at a time, or ``pack of R``.
        tasks_per_second: Training tasks, those of all runs of a pack together.
        expected: What this project asks for, on a core on which the published code makes 109 tasks a second with the
            LSTM, 6.6 with OP-LSTM and 27 with MAML.
        over_baseline: Times the tasks a second of the usual program: of ``nn.LSTM``, or of the loop.
        over_lstm_cell: Times those of ``nn.LSTMCell``, the quicker way to write it.
        over_alone: Times those of the smallest pack, one run alone unless other packs were asked for.
        ms_per_update: Milliseconds a meta-update.
        peak_mib: Memory that the contender adds to the process or the card, in MiB.
        sampling: Share of the training time that drawing tasks and gathering their inputs takes.
        validation_seconds: Seconds a meta-validation of all runs, from as many of its tasks as the time allows.
        validation: Its share of the training time between two of them.
        note: Why nothing was measured.
    """

    learner: str
    convention: str
    contender: str
    tasks_per_second: float | None = None
    expected: float | None = None
    over_baseline: float | None = None
    over_lstm_cell: float | None = None
    over_alone: float | None = None
    ms_per_update: float | None = None
    peak_mib: float | None = None
    sampling: float | None = None
    validation_seconds: float | None = None
    validation: float | None = None
    note: str | None = None


def compare(setting: Setting, packs: Sequence[int], bench: Bench, *, shares: bool = True) -> list[Row]:
    """A row a contender: the baselines of the setting, then a pack of each size, the smallest first.

    A pack is left out, with a note, when its memory, on the line through the smaller packs, is more than there is.

    Args:
        setting: What to train.
        packs: Runs of each pack.
        bench: Where and how long.
        shares: Whether to measure what is not training, too.
    """
    label = partial(Row, learner=setting.learner, convention=setting.convention)
    setting.baseline(setting.baselines[0], bench.place).step()  # what PyTorch loads late is nobody's memory
    contenders: dict[str, Steps] = {}
    peaks: dict[str, float | None] = {}
    for kind in setting.baselines:
        bench.progress(f"{setting.learner}, {setting.convention}: {kind}")
        contenders[kind], peaks[kind] = bench.warmed_up(partial(setting.baseline, kind, bench.place))
    made: dict[int, Pack] = {}
    by_size: dict[int, float | None] = {}
    skipped = []
    for size in sorted(packs):
        name = f"pack of {size}"
        bench.progress(f"{setting.learner}, {setting.convention}: {name}")
        wanted, free = predicted_memory(by_size, size), bench.free_mib()
        if wanted is not None and wanted > free:
            skipped.append(label(contender=name, note=f"left out: {wanted:.0f} MiB wanted, {free:.0f} there"))
            continue
        made[size], by_size[size] = bench.warmed_up(partial(setting.pack, size, bench.place))
        contenders[name], peaks[name] = made[size], by_size[size]
    runs = dict.fromkeys(setting.baselines, 1) | {f"pack of {size}": size for size in made}
    bench.progress(f"{setting.learner}, {setting.convention}: all in turns")
    taken = bench.take_turns(contenders)
    rows = []
    for name, size in runs.items():
        rest: dict[str, Any] = {}
        if name not in setting.baselines:
            alone = _times(taken[f"pack of {min(made)}"], taken[name], size / min(made))
            rest = {"expected": setting.expected.get(size), "over_alone": alone}
            if shares:
                bench.progress(f"{setting.learner}, {setting.convention}: {name}, sampling and validation")
                rest |= _shares(setting, made[size], taken=taken[name], bench=bench)
        update = statistics.median(taken[name])
        row = label(
            contender=name,
            tasks_per_second=size * setting.meta_batch_size / update,
            over_baseline=_times(taken[setting.baselines[0]], taken[name], size),
            over_lstm_cell=_times(taken.get("nn.LSTMCell", []), taken[name], size),
            ms_per_update=1e3 * update,
            peak_mib=peaks[name],
            **rest,
        )
        rows.append(row)
    return rows + skipped


def _times(base: Sequence[float], own: Sequence[float], runs: float) -> float | None:
    """Tasks a second over those of ``base`` with ``runs`` times the runs: the median over the rounds of both."""
    ratios = [runs * theirs / ours for theirs, ours in zip(base, own, strict=False)]
    return statistics.median(ratios) if ratios else None


def _shares(setting: Setting, pack: Pack, *, taken: Sequence[float], bench: Bench) -> dict[str, float]:
    """What of a ``Row`` is not training."""
    update = statistics.median(taken)
    rate = setting.meta_batch_size / update  # tasks a second of each run
    seconds = validation_seconds(setting, len(pack.runs), first=int(bench.seconds * rate), bench=bench)
    return {
        "sampling": sampling_seconds(setting, pack, bench) / update,
        "validation_seconds": seconds,
        "validation": seconds / (setting.updates_between * update),
    }


def validation_seconds(setting: Setting, size: int, *, first: int, bench: Bench) -> float:
    """Seconds a meta-validation, from the ``first`` of its tasks, and from more where those took too little time.

    Of large packs it is timed on as many runs as are evaluated at once, with so many more tasks each.
    """
    runs = min(size, AT_ONCE[bench.place.device.type].runs)
    count = min(setting.validation_tasks, max(1, first * size // runs))
    while True:
        validated = setting.pack(runs, bench.place, validation_tasks=count)
        seconds = bench.burst(validated.validation_scores).seconds
        if count == setting.validation_tasks or seconds > bench.seconds / GROWTH:
            return seconds * setting.validation_tasks / count * size / runs
        count = min(setting.validation_tasks, GROWTH * count)


def sampling_seconds(setting: Setting, pack: Pack, bench: Bench) -> float:
    """Seconds that drawing the tasks of a meta-update, a window at a time, and gathering their inputs takes."""
    streams = [TaskStream(pack.tasks, run.seed, split=Split.TRAIN, dtype=bench.place.dtype) for run in pack.runs]
    feed = TaskFeed(streams, TaskGroups([setting.meta_batch_size] * len(streams)), bench.place.device)
    drawing = bench.burst(lambda: feed.prepare(0, [0] * len(streams))).seconds / feed.length
    gathering = bench.burst(lambda: [pack.tasks.gather(feed.batch()) for _ in range(GATHERED)]).seconds / GATHERED
    return drawing + gathering
