"""Work that is done over and over: captured once, on a GPU as a CUDA graph, and replayed."""

import warnings
from collections.abc import Callable

import torch

from oplstm.training.update.recorded import Recording
from oplstm.training.update.repeated import Repeated

EAGER_CALLS = 3
"""Calls before the capture on a GPU: libraries set themselves up in them."""
UNRECORDED_CALLS = 1
"""Calls before the recording on a CPU: what is found out once is found out in them."""


class Captured:
    """Calls a function of no arguments that reads and writes the same tensors, in place, every time.

    On a GPU the first calls run on a stream of their own, the next one is captured without running, and from then on
    the graph is replayed: the host launches one graph in place of thousands of kernels. Work that cannot be captured,
    because it waits for the device, runs as it is; a warning says so. On a CPU one call is recorded while it runs (see
    ``Repeated``), unless its operations are large.

    Args:
        device: Where the function computes.
        capture: Whether to replay it; otherwise all calls do the work.
    """

    def __init__(self, device: torch.device, *, capture: bool = True) -> None:
        self._device = device
        records = capture and device.type == "cpu"
        capture = capture and device.type == "cuda"
        self._eager = EAGER_CALLS if capture else -1
        self._stream = torch.cuda.Stream(device) if capture else None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._unrecorded = UNRECORDED_CALLS if records else -1
        self._repeated: Repeated | None = None

    def __call__(self, work: Callable[[], None]) -> None:
        """Do ``work``, the same in every call."""
        if self._eager == 0 and self._graph is None:
            self._graph = self._capture(work)
        if self._graph is not None:
            self._graph.replay()
        elif self._repeated is not None:
            self._repeated()
        elif self._unrecorded > 0:
            self._unrecorded -= 1
            work()
        elif self._unrecorded == 0:
            self._unrecorded = -1
            self._repeated = self._record(work)
        elif self._stream is None:
            work()
        else:
            self._eager -= 1
            self._stream.wait_stream(torch.cuda.current_stream(self._device))
            with torch.cuda.stream(self._stream):
                work()
            torch.cuda.current_stream(self._device).wait_stream(self._stream)

    @staticmethod
    def _record(work: Callable[[], None]) -> Repeated | None:
        """Do ``work``; returns what repeats it, if anything does."""
        with Recording() as recording:
            work()
        return None if recording.problem else Repeated(recording)

    def _capture(self, work: Callable[[], None]) -> torch.cuda.CUDAGraph | None:
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, stream=self._stream):
                work()
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            warnings.warn(f"no CUDA graph, updates are launched kernel by kernel: {error}", stacklevel=2)
            self._stream = None
            return None
        return graph
