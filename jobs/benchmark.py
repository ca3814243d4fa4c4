"""Meta-training tasks per second on one core, ours beside the usual one task at a time: ``python -m jobs.benchmark``.

Published configurations (Table 1) on 5-shot sine. Contenders take turns in short bursts, so that whatever else the
machine does hits all of them; processor time is counted, not the clock on the wall.
"""

import contextlib
import ctypes
import gc
import json
import platform
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import click
import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from jobs.baseline import BaselineLSTM, BaselineOPLSTM, BaselineTraining, Kind
from oplstm.episodes.episode import stack_runs
from oplstm.episodes.sine import SineTasks
from oplstm.episodes.split import Split
from oplstm.episodes.streams import TaskStream
from oplstm.learners.lstm import LSTMConfig
from oplstm.learners.op_lstm import OPLSTMConfig
from oplstm.training.allocator import keep_freed_memory
from oplstm.training.evaluation import evaluate
from oplstm.training.pack import Pack
from oplstm.training.run import Budget, RunConfig

VALIDATE_EVERY, VALIDATION_TASKS = 2500, 1000
ROUNDS = 7
MODELS: dict[str, tuple[Any, Any]] = {"lstm": (LSTMConfig, BaselineLSTM), "op_lstm": (OPLSTMConfig, BaselineOPLSTM)}


@dataclass(frozen=True)
class Setting:
    """A published configuration.

    Attributes:
        learner: Its name.
        convention: ``authors``, as the published numbers were made, or ``paper``.
        meta_batch_size: Tasks a meta-update.
        lr: Adam's learning rate.
        expected: Tasks a second over the baseline's that packs of the given sizes should reach.
    """

    learner: str
    convention: str
    meta_batch_size: int
    lr: float
    expected: Mapping[int, float]

    def run(self, seed: int = 0) -> RunConfig:
        """A run of it."""
        config = MODELS[self.learner][0]
        return RunConfig(
            learner=self.learner,
            hyperparameters=config(**config.conventions[self.convention]),
            benchmark=SineTasks(shots=5),
            meta_batch_size=self.meta_batch_size,
            lr=self.lr,
            budget=Budget(tasks=70_000, validate_every=VALIDATE_EVERY),
            seed=seed,
            evaluation_seed=0,
        )

    def pack(self, size: int) -> Pack:
        """``size`` runs of it, which differ in their seeds."""
        return Pack([self.run(seed) for seed in range(size)], [f"run-{seed}" for seed in range(size)])

    def baseline(self, kind: Kind) -> BaselineTraining:
        """One run of it, one task at a time."""
        run = self.run()
        torch.manual_seed(run.seed)
        model = MODELS[self.learner][1](run.hyperparameters, kind)
        stream = TaskStream(run.benchmark, run.seed, Split.TRAIN)
        return BaselineTraining(model, stream, meta_batch_size=self.meta_batch_size, lr=self.lr)


SETTINGS = [
    Setting(learner, convention, meta_batch_size, lr, expected)
    for learner, meta_batch_size, lr, expected in (
        ("lstm", 4, 0.004674, {1: 3.5, 64: 18.0}),
        ("op_lstm", 1, 0.001045, {1: 1.5, 64: 8.0}),
    )
    for convention in ("authors", "paper")
]


@dataclass(frozen=True)
class Row:
    """What was measured of one contender; medians over the rounds.

    Attributes:
        learner: Its name.
        convention: ``authors`` or ``paper``.
        contender: ``nn.LSTMCell`` or ``nn.LSTM``, one task at a time, or ``pack of R``.
        tasks_per_second: Training tasks, those of all runs of a pack together.
        over_lstm_cell: Times the tasks a second of ``nn.LSTMCell``, the quicker way to write it.
        over_lstm: Times those of ``nn.LSTM``, the usual way.
        expected: The ratio that this project asks for.
        ms_per_update: Milliseconds a meta-update.
        peak_mib: Memory that training adds to the process, in MiB.
        sampling: Share of the training time that drawing tasks takes.
        validation: Time of one meta-validation (1000 tasks) over that of the 2500 training tasks between two.
    """

    learner: str
    convention: str
    contender: str
    tasks_per_second: float
    over_lstm_cell: float
    over_lstm: float
    expected: float | None
    ms_per_update: float
    peak_mib: float | None = None
    sampling: float | None = None
    validation: float | None = None


def seconds_per_call(call: Callable[[], object], seconds: float) -> float:
    """Processor seconds that ``call`` takes, repeated for ``seconds``."""
    calls, began = 0, time.process_time()
    while calls == 0 or time.process_time() - began < seconds:
        call()
        calls += 1
    return (time.process_time() - began) / calls


def measure(setting: Setting, packs: Sequence[int], seconds: float, tick: Callable[[], object] = int) -> list[Row]:
    """All contenders of one setting, in turns, ``seconds`` each in all."""
    kinds = get_args(Kind)
    made = {size: setting.pack(size) for size in packs}
    steps: dict[Any, Callable[[], object]] = {kind: setting.baseline(kind).step for kind in kinds}
    steps |= {size: pack.step for size, pack in made.items()}
    for step in steps.values():
        step()  # to warm up
    bursts: dict[Any, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            bursts[name].append(seconds_per_call(step, seconds / ROUNDS))
            tick()
    rows = []
    for name, taken in bursts.items():
        runs = name if name in made else 1
        over = {kind: statistics.median(runs * base / own for base, own in zip(bursts[kind], taken, strict=True))
                for kind in kinds}  # fmt: skip
        update = statistics.median(taken)
        row = Row(
            learner=setting.learner,
            convention=setting.convention,
            contender=_packed(name) if name in made else _alone(name),
            tasks_per_second=runs * setting.meta_batch_size / update,
            over_lstm_cell=over["LSTMCell"],
            over_lstm=over["LSTM"],
            expected=setting.expected.get(runs) if name in made else None,
            ms_per_update=1e3 * update,
        )
        if name in made:
            sampling, validation = _shares(setting, made[name], update)
            row = replace(row, sampling=sampling, validation=validation)
        rows.append(row)
    return rows


def _alone(kind: Kind) -> str:
    return f"nn.{kind}"


def _packed(size: int) -> str:
    return f"pack of {size}"


def _shares(setting: Setting, pack: Pack, update: float) -> tuple[float, float]:
    """``sampling`` and ``validation`` of a ``Row``."""
    streams = [TaskStream(run.benchmark, run.seed, Split.TRAIN) for run in pack.runs]
    batches = 2 * TaskStream.BLOCK // setting.meta_batch_size  # whole blocks, the unit that is drawn
    began = time.process_time()
    for index in range(batches):
        stack_runs([stream.batch(index, setting.meta_batch_size) for stream in streams])
    drawing = (time.process_time() - began) / batches
    count = max(20, VALIDATION_TASKS // len(pack.runs))  # a sample of them: a big pack takes minutes
    tasks, params = streams[0].tasks(0, count), pack.params(pack.state.weights)
    validation = seconds_per_call(lambda: evaluate(pack.learner, params, tasks), 0.0) * VALIDATION_TASKS / count
    between = VALIDATE_EVERY / setting.meta_batch_size * update
    return drawing / update, validation / between


def added_memory(make: Callable[[], Callable[[], object]]) -> float | None:
    """The most MiB that making a contender and three meta-updates added to this process at any time; Linux only."""
    status, marks = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # elsewhere than on Linux
        ctypes.CDLL("libc.so.6").malloc_trim(0)  # so that earlier contenders leave nothing to be used again
    try:
        marks.write_text("5")  # forget the highest mark so far
        before = _kib(status.read_text(), "VmRSS")
    except OSError:
        return None
    step = make()
    for _ in range(3):
        step()
    return (_kib(status.read_text(), "VmHWM") - before) / 1024


def contenders_memory(setting: Setting, packs: Sequence[int]) -> dict[str, float | None]:
    """``added_memory`` of every contender of a setting, by name, the smallest first."""
    makers: dict[str, Callable[[], Callable[[], object]]] = {}
    makers |= {_alone(kind): partial(lambda kind: setting.baseline(kind).step, kind) for kind in get_args(Kind)}
    makers |= {_packed(size): partial(lambda size: setting.pack(size).step, size) for size in packs}
    return {name: added_memory(make) for name, make in makers.items()}


def _kib(status: str, name: str) -> int:
    return int(status.partition(f"{name}:")[2].split()[0])


def table(rows: Sequence[Row]) -> Table:
    """The rows for a person."""
    grid = Table(title="Meta-training on one core, 5-shot sine; nn.LSTMCell and nn.LSTM take one task at a time")
    for heading in ("learner", "convention", "contender"):
        grid.add_column(heading, no_wrap=True)
    headings = ("tasks/s", "× nn.LSTMCell", "× nn.LSTM", "expected", "ms/update", "MiB", "sampling", "validation")
    for heading in headings:
        grid.add_column(heading, justify="right")
    for row in rows:
        cells = [f"{row.tasks_per_second:.4g}", f"{row.over_lstm_cell:.2f}", f"{row.over_lstm:.2f}"]
        cells += [_cell(row.expected, ">= {:g}"), f"{row.ms_per_update:.2f}", _cell(row.peak_mib, "{:.0f}")]
        cells += [_cell(row.sampling, "{:.1%}"), _cell(row.validation, "{:.1%}")]
        last = row.contender == rows[-1].contender
        grid.add_row(row.learner, row.convention, row.contender, *cells, end_section=last)
    return grid


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = re.findall(r"^model name\s*: (.*)", info.read_text(), re.MULTILINE)
        cpu = names[0] if names else cpu
    return {"cpu": cpu, "python": platform.python_version(), "torch": torch.__version__, "threads": 1}


def _sizes(ctx: click.Context, param: click.Parameter, value: str) -> list[int]:
    parts = value.split(",")
    if not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise click.BadParameter(f"must be whole numbers >= 1 with commas between, got {value!r}")
    return sorted({int(part) for part in parts})


@click.command()
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Also write the rows there.")
@click.option("--seconds", default=5.0, show_default=True, type=click.FloatRange(min=0.001), help="Per contender.")
@click.option("--packs", default="1,64", show_default=True, callback=_sizes, help="Runs trained side by side.")
def main(json_file: Path | None, seconds: float, packs: list[int]) -> None:
    """Measure meta-training on one core, beside the usual way to write it."""
    torch.set_num_threads(1)
    memory = [contenders_memory(setting, packs) for setting in SETTINGS]  # before freed memory is kept
    keep_freed_memory()
    rows = []
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("measuring", total=len(SETTINGS) * ROUNDS * (len(get_args(Kind)) + len(packs)))
        for index, setting in enumerate(SETTINGS):
            measured = measure(setting, packs, seconds, lambda: bar.advance(task))
            rows += [replace(row, peak_mib=memory[index].get(row.contender)) for row in measured]
    wide = Console()
    wide.width = max(wide.width, 150)
    wide.print(table(rows))
    if json_file is not None:
        document = {"version": 1, "machine": machine(), "rows": [asdict(row) for row in rows]}
        json_file.write_text(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
