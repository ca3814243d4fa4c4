"""Nodes of a Ray cluster, as `ray start` makes them on machines of their own: here several on one."""

import contextlib
import os
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from tests.chaos.injuries import Victim
from tests.chaos.processes import Processes
from tests.jobs.integration.network import Network
from tests.jobs.integration.test_faults import title_of

RESOURCES = ["--num-gpus=1", "--object-store-memory=80000000"]
QUICK = {"RAY_health_check_initial_delay_ms": "1000", "RAY_health_check_period_ms": "1000"}
"""A node that has died is seen sooner: there is no network here that could hide one."""


class Node:
    """A node and its processes: `ray start --block`, and all that it starts, are a session of their own.

    Args:
        name: As the cluster calls it.
        folder: Of its logs and sockets; a short path.
        head: Address of the head; None makes this the head, at a free port.
        cpus: Logical ones; there is one logical GPU.
        python_path: Where its oplstm is.
        blind_to: A folder that is another on this node, as where nothing is shared; None for none. Takes root.
        network: That the cluster is on, this node at its other end if it is no head; None for the loopback interface.
    """

    def __init__(
        self,
        name: str,
        folder: Path,
        *,
        head: str | None,
        cpus: int,
        python_path: Path,
        blind_to: Path | None,
        network: Network | None,
    ) -> None:
        own = "127.0.0.1" if network is None else network.there if head else network.here
        self.name, self.address = name, head or f"{own}:{_free_port()}"
        whose = ["--head", f"--port={self.address.rpartition(':')[2]}", "--include-dashboard=false"]
        command = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", f"--node-name={name}"]
        command += [
            *RESOURCES,
            f"--num-cpus={cpus}",
            f"--node-ip-address={own}",
            f"--temp-dir={folder / name}",
            *([f"--address={head}"] if head else whose),
        ]
        if blind_to is not None:
            hide = f'mount -t tmpfs tmpfs {shlex.quote(str(blind_to))} && exec "$@"'
            command = ["unshare", "--mount", "sh", "-c", hide, "sh", *command]
        if network is not None and head:
            command = network.command(command)
        environment = {**os.environ, **QUICK, "PYTHONPATH": str(python_path)}
        self._log = folder / f"{name}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        self.processes = Processes(self._process.pid)

    def await_start(self, seconds: float = 90) -> None:
        """Return when its raylet has come up, and, of a head, when the cluster answers."""
        deadline = time.monotonic() + seconds
        while b"Ray runtime started" not in self._log.read_bytes():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.1)

    def trains(self) -> int:
        """How many of its processes train a pack."""
        return len(self._training())

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Waits until it trains; meanwhile none of the processes that did goes on, however long things take."""
        deadline = time.monotonic() + 120
        while not (held := self._training()):
            assert time.monotonic() < deadline, f"{self.name} trains nothing"
            time.sleep(0.1)
        for process in held:
            process.suspend()
        yield
        for process in held:
            process.resume()

    def _training(self) -> list[psutil.Process]:
        return [process for process in self.processes.of(Victim.WORKER) if title_of(process).endswith(".train")]

    def kill(self) -> None:
        """As when its power goes: kill -9 of the raylet, the workers and all the rest."""
        self.processes.end()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextlib.contextmanager
def started_nodes(root: Path) -> Iterator[Callable[..., Node]]:
    """Starts nodes, by name and the head's address; all are ended at the end, whatever has happened."""
    nodes: list[Node] = []
    with tempfile.TemporaryDirectory(prefix="nodes-", dir="/tmp") as folder:  # short, as the paths of sockets are

        def start(
            name: str,
            *,
            head: str | None = None,
            cpus: int = 1,
            python_path: Path = root,
            blind_to: Path | None = None,
            network: Network | None = None,
        ) -> Node:
            how = {"python_path": python_path, "blind_to": blind_to, "network": network}
            nodes.append(Node(name, Path(folder), head=head, cpus=cpus, **how))
            return nodes[-1]

        try:
            yield start
        finally:
            for node in nodes:
                node.kill()
