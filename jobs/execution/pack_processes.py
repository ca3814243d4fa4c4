"""Packs in processes of their own on this machine, without Ray: the seeds of one configuration on all its cores."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final

import jobs
from jobs.execution.pack_messages import Answer, At, Call, Order
from jobs.execution.remote_coordinator import CALLS
from jobs.execution.shipped_plugins import ShippedPlugins
from jobs.jobfile.sections import Resources
from jobs.sweep.coordinator import Coordinator
from jobs.sweep.messages import Assignment
from oplstm.errors import WorkError

SHOW_SECONDS = 0.5
_HELD_BACK: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class PackProcess:
    """A pack that is trained in a process of its own.

    Attributes:
        order: What it does.
        update: That the pack has reached.
        deaths: Of processes of this pack.
    """

    order: Order
    update: int = 0
    deaths: int = 0
    pipe: "Connection[Any, Any]" = field(init=False)
    _process: "subprocess.Popen[bytes]" = field(init=False)

    def start(self) -> None:
        """Start its process, which signals to this one do not reach, and which does not outlive this one."""
        self.pipe, far_end = Pipe()
        with far_end, _held_back(), self.order.folder.pack_log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "jobs.execution.pack_process", str(far_end.fileno())],
                pass_fds=[far_end.fileno()],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=_environment(),
            )
        with contextlib.suppress(OSError):  # it is dead already
            self.pipe.send(self.order)

    def ended(self) -> int:
        """The exit code of its process, which has closed its pipe."""
        self.pipe.close()
        with self._process:  # closes its input, so that it ends
            return self._process.wait()

    def kill(self) -> None:
        """End its process, wherever it is; the next one goes on from its last checkpoint."""
        self._process.kill()
        self.ended()


def train_side_by_side(
    coordinator: Coordinator,
    given: Sequence[Assignment],
    *,
    resources: Resources,
    slots: int,
    show: Callable[[dict[str, int]], None],
) -> None:
    """Train packs, each in a process of its own, until the coordinator has no more or its work has failed.

    Args:
        coordinator: Of their sweep.
        given: Packs that it has given already.
        resources: What a pack gets.
        slots: How many packs are trained at once.
        show: Called about twice a second with the updates of the packs that run.
    """
    given, running, plugins = list(given), list[PackProcess](), ShippedPlugins.of(coordinator.header.plugins)
    try:
        while coordinator.progress().failure is None:
            while len(running) < slots and (next_one := given.pop(0) if given else coordinator.next_pack(slots)):
                running.append(PackProcess(Order(plugins, next_one, coordinator.folder, resources)))
                running[-1].start()
            if not running:
                return
            ready = wait([pack.pipe for pack in running], SHOW_SECONDS)
            for pack in [pack for pack in running if pack.pipe in ready]:
                if not _serve(pack, coordinator) and not _goes_on(pack, coordinator):
                    running.remove(pack)
            show({pack.order.assignment.pack: pack.update for pack in running})
    finally:
        for pack in running:
            pack.kill()


def _serve(pack: PackProcess, coordinator: Coordinator) -> bool:
    """Take in one message of a pack; False: there will be no more."""
    try:
        message: Call | At = pack.pipe.recv()
        if isinstance(message, At):
            pack.update = message.update
        else:
            pack.pipe.send(_answer(message, coordinator))
    except (EOFError, OSError):
        return False
    return True


def _answer(call: Call, coordinator: Coordinator) -> Answer:
    if call.method not in CALLS:
        raise ValueError(f"a pack called {call.method}")
    try:
        return Answer(getattr(coordinator, call.method)(*call.arguments))
    except WorkError as error:
        return Answer(error=str(error))


def _goes_on(pack: PackProcess, coordinator: Coordinator) -> bool:
    """Whether a pack whose process has ended is trained on in another: that one died, and not too often."""
    code = pack.ended()
    if code == 0 or coordinator.stopping():
        return False
    pack.deaths += 1
    if pack.deaths <= pack.order.resources.retries:
        pack.start()
        return True
    reason = f"failed: its process died or raised an error on every try; see {pack.order.folder.pack_log}"
    coordinator.pack_failed(pack.order.assignment.pack, reason)
    return False


@contextlib.contextmanager
def _held_back() -> Iterator[None]:
    """What starts in here inherits that these signals are held back; for this process they come a moment later."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _environment() -> dict[str, str]:
    """This process's, in which its own packages are found first: in a checkout, or where they are installed."""
    paths = [str(Path(jobs.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
