"""Ray: connecting to it, and whether it has what a job asks for."""

import contextlib
import logging
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlparse

import ray

from jobs.execution.ray_processes import OwnProcesses, RayLost, disconnect, is_held
from jobs.jobfile.sections import Resources
from oplstm.errors import RequestError, WorkError, shortened

LOOK_SECONDS = 0.1
LEAVE_SECONDS = 60.0
LEAVE_LOST_SECONDS = 2.0
TCP_SECONDS = 3.0
HEALTH_SECONDS = 12.0
SHORT = Path("/tmp")  # noqa: S108 - the owner of what is made there is looked at
SOCKET_BYTES = 107
"""Of the path of a socket on Linux."""
BYTES_IN_IT = len("/ray/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store")


@contextlib.contextmanager
def connected(address: str | None, resources: Resources) -> Iterator[None]:
    """A cluster on which a pack of ``resources`` has room, in here: a local one, or that at ``address``.

    One that this process is connected to already is used and left as it is.

    Raises:
        RequestError: It does not let us in, or no node of it can hold a pack.
        WorkError: One that was lost still holds this process.
    """
    if is_held():
        raise WorkError("a Ray that was lost still holds this process, which it may end; go on in a new one")
    if ray.is_initialized():
        check_resources(resources)
        yield
        return
    own, over, patience = OwnProcesses(), threading.Event(), LEAVE_SECONDS
    try:
        _connect(address, resources, own=own, over=over)
        yield
    except RayLost:
        own.kill()  # they would wait for a minute for the one that is gone
        patience = LEAVE_LOST_SECONDS
        raise
    finally:
        if ray.is_initialized():
            disconnect(ray.shutdown, patience)
        over.set()


def _connect(address: str | None, resources: Resources, *, own: OwnProcesses, over: threading.Event) -> None:
    """Connect, and see that a pack has room; a Ray that comes up only in part is ended."""
    try:
        _with_an_eye_on(own, lambda: _begin(address, resources), over)
        if address is None:
            own.find()
    except RequestError:
        raise
    except Exception as error:  # Ray raises all kinds, plain ones too where a part of it dies while it starts
        line = shortened(next(iter(str(error).strip().splitlines()), type(error).__name__))
        if address is not None:
            raise RequestError(f"cannot connect to Ray at {address}: {line}") from error
        own.find()
        own.kill()
        raise RequestError(f"Ray did not start on this machine: {line}; nothing was begun, so try again") from error


def _begin(address: str | None, resources: Resources) -> None:
    ray.init(
        address=address or "local",
        include_dashboard=None if address else False,
        log_to_driver=False,
        logging_level=logging.ERROR,
        _temp_dir=None if address else short_temporary_folder(),
    )
    check_resources(resources)


def short_temporary_folder(instead: Path = SHORT) -> str | None:
    """Where a local Ray keeps its sockets: one of this user's where a long TMPDIR would be too long; else None.

    Batch systems give a job a TMPDIR of its own, and the path of a socket has room for 107 bytes.

    Args:
        instead: Where the folder is made.

    Raises:
        RequestError: It cannot be made, or is another user's.
    """
    given = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or tempfile.gettempdir()
    if len(os.fsencode(given)) + BYTES_IN_IT <= SOCKET_BYTES:
        return None
    folder = instead / f"ray-{os.getuid()}"
    mend = f"set RAY_TMPDIR to a folder with a path of at most {SOCKET_BYTES - BYTES_IN_IT} bytes"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise RequestError(f"cannot make {folder} for the sockets of Ray: {error.strerror}; {mend}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise RequestError(f"{folder}, for the sockets of Ray, is not a folder of this user; {mend}")
    return str(folder)


def _with_an_eye_on(own: OwnProcesses, begin: Callable[[], None], over: threading.Event) -> None:
    """Start Ray in a thread: who waits for a part of it that has died hears of that after a minute, or never.

    Args:
        own: The processes that come up.
        begin: Starts Ray.
        over: Set when Ray is not used any more. Until then the thread lives: Linux ends with it what it has started.

    Raises:
        RayLost: A part has died; the thread is left to wait.
        Exception: What ``begin`` raised.
    """
    ready, raised = threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            begin()
        except BaseException as error:
            raised.append(error)
        ready.set()
        over.wait()

    with warnings.catch_warnings(action="ignore", category=FutureWarning), _own_signals():
        threading.Thread(target=work, name="ray", daemon=True).start()
        while not ready.wait(LOOK_SECONDS):
            own.check()
    if raised:
        raise raised[0]


@contextlib.contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's handlers while Ray starts.

    Ray installs one of SIGTERM, which would end this process on the spot. And a terminal that closes sends SIGHUP to
    Ray's processes too, which could not be stopped cleanly then: they inherit that it is ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def check_answers(address: str | None) -> None:
    """See that a Ray cluster answers at ``address``; None means one that is yet to start.

    Raises:
        RequestError: None does, or what listens there gives no answer in time; said within 15 seconds.
    """
    if address is None:
        return
    try:
        parsed = urlparse(address if "//" in address else f"//{address}")
        scheme, host, port = parsed.scheme, parsed.hostname, parsed.port
    except ValueError:
        scheme, host, port = "", None, None
    if not host or not port or scheme not in ("", "ray"):
        raise RequestError(f"--ray-address must be host:port, got {address!r}")
    if scheme == "ray":
        raise RequestError(f"--ray-address must be host:port of the head node, got {address!r}; run oplstm on a node "
                           "of the cluster, which the coordinator needs")  # fmt: skip
    mend = "start one with 'ray start --head', or leave --ray-address out"
    try:
        socket.create_connection((host, port), timeout=TCP_SECONDS).close()
        # Ray's own connecting waits for half a minute, and complains to the terminal, where something else listens.
        command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
        healthy = subprocess.run(command, capture_output=True, timeout=HEALTH_SECONDS, check=False).returncode == 0
    except subprocess.TimeoutExpired as error:
        raise RequestError(
            f"what listens at {address} gave no answer in {HEALTH_SECONDS:g} s: a Ray cluster that is busy (try again) "
            f"or wants another token (RAY_AUTH_TOKEN), or something else ({mend})"
        ) from error
    except OSError as error:
        raise RequestError(f"no Ray cluster answers at {address}: {error.strerror or error}; {mend}") from error
    if not healthy:
        raise RequestError(
            f"what listens at {address} is no healthy Ray cluster, or wants another token (RAY_AUTH_TOKEN); {mend}"
        )


def check_resources(resources: Resources) -> None:
    """See that some node of the cluster can hold one pack; Ray itself would wait for ever.

    Raises:
        RequestError: None can.
    """
    if pack_slots(resources):
        return
    nodes = _nodes()
    largest = {name: max((node.get(name, 0) for node in nodes), default=0) for name in ("CPU", "GPU")}
    raise RequestError(
        f"resources: a pack asks for {resources.cpus} CPUs and {resources.gpus:g} GPUs, the largest node of the "
        f"cluster has {largest['CPU']:g} CPUs and {largest['GPU']:g} GPUs; lower resources.cpus or resources.gpus"
    )


def pack_slots(resources: Resources) -> int:
    """How many packs the cluster can hold at once."""
    return sum(_slots_of(node, resources) for node in _nodes())


def _slots_of(node: dict[str, float], resources: Resources) -> int:
    by_cpu = int(node.get("CPU", 0) // resources.cpus)
    if not resources.gpus:
        return by_cpu
    gpus = int(node.get("GPU", 0))
    # A fraction shares one GPU and never spans two; the small number undoes the rounding of 1 / 0.1.
    by_gpu = gpus * int(1 / resources.gpus + 1e-9) if resources.gpus < 1 else gpus // int(resources.gpus)
    return min(by_cpu, by_gpu)


def _nodes() -> list[dict[str, float]]:
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]
