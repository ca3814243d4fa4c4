"""The benchmarks by name."""

from oplstm.episodes.benchmark import Benchmark
from oplstm.episodes.images import IMAGE_BENCHMARKS
from oplstm.episodes.sine import SineTasks

BENCHMARKS: dict[str, type[Benchmark]] = {SineTasks.name: SineTasks, **IMAGE_BENCHMARKS}
