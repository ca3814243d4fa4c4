"""A network of a node's own, as machines have: what listens on this machine's loopback interface is not there."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """A namespace that reaches this machine over one cable.

    Attributes:
        name: Of the namespace.
        here: This machine's address on the cable.
        there: The namespace's.
    """

    name: str
    here: str
    there: str

    def command(self, words: list[str]) -> list[str]:
        """Words that run a command in there."""
        return ["ip", "netns", "exec", self.name, *words]


@contextlib.contextmanager
def network() -> Iterator[Network | None]:
    """One that is there while in here; None where this user may not make one, which takes root and `ip`."""
    number = os.getpid() % 64000
    made = Network(f"node-{number}", *(f"10.77.{number // 250}.{number % 250 + end}" for end in (0, 1)))
    cable = (f"va{number}", f"vb{number}")
    if os.geteuid() != 0 or not shutil.which("ip"):
        yield None
        return
    try:
        for line in (
            f"netns add {made.name}",
            f"link add {cable[0]} type veth peer name {cable[1]} netns {made.name}",
            f"addr add {made.here} peer {made.there} dev {cable[0]}",
            f"link set {cable[0]} up",
            f"-n {made.name} addr add {made.there} peer {made.here} dev {cable[1]}",
            f"-n {made.name} link set {cable[1]} up",
            f"-n {made.name} link set lo up",
        ):
            if subprocess.run(["ip", *line.split()], capture_output=True, check=False).returncode:
                yield None  # in a container that may not
                return
        yield made
    finally:
        for line in (f"link del {cable[0]}", f"netns del {made.name}"):
            subprocess.run(["ip", *line.split()], capture_output=True, check=False)
