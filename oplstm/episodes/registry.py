"""The benchmarks by name."""

from typing import TYPE_CHECKING

from oplstm.registry import Registry

if TYPE_CHECKING:  # it needs torch
    from oplstm.episodes.benchmark import Benchmark

BENCHMARKS: Registry[type["Benchmark"]] = Registry(
    "benchmark",
    "oplstm.benchmarks",
    {
        "sine": "oplstm.episodes.sine:SineTasks",
        "omniglot": "oplstm.episodes.images:OmniglotTasks",
        "miniimagenet": "oplstm.episodes.images:MiniImageNetTasks",
        "cub": "oplstm.episodes.images:CUBTasks",
        "images": "oplstm.episodes.own_images:OwnImageTasks",
    },
)
"""What ships, and the entry points ``oplstm.benchmarks`` of installed packages: classes as ``Benchmark`` has them."""
