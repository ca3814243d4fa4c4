"""The nodes of a cluster: whether each has this oplstm and the data of the job."""

import functools
import hashlib
import json
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import ray
from ray import cloudpickle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from jobs.execution import node_code
from jobs.execution.remote_coordinator import reason_of
from jobs.execution.shipped_plugins import ShippedPlugins
from oplstm.episodes.benchmark import Benchmark
from oplstm.errors import RequestError

LOOK_SECONDS: Final = 60.0
"""For all nodes to answer: the first answer waits for a process that imports torch."""
WATCH_SECONDS: Final = 0.5
MENDS: Final = {
    "code": "install the same checkout on every node",
    "versions": "install the versions of constraints.txt on every node",
}


@dataclass(frozen=True)
class Code:
    """The oplstm that a machine has.

    Attributes:
        versions: Of oplstm and of what its numbers depend on, and the ``commit``.
        files: A digest of each source file by its path.
    """

    versions: dict[str, str]
    files: dict[str, str]

    def problem(self, node: str, here: "Code") -> str | None:
        """What is wrong with this code on a node, beside that of this machine; None if it is the same."""
        if not self.files:
            return f"node {node} has no oplstm: {MENDS['code']}"
        names = sorted(self.files.keys() | here.files.keys())
        if others := [name for name in names if self.files.get(name) != here.files.get(name)]:
            more = f" and {len(others) - 1} more files" if len(others) > 1 else ""
            return (
                f"node {node} has another oplstm, {self._called()}, than this machine, {here._called()}: "
                f"{others[0]}{more} differ{'' if more else 's'}; {MENDS['code']}"
            )
        for name in node_code.BESIDE:
            if (there := self.versions[name]) != here.versions[name]:
                return f"node {node} has {name} {there}, this machine {here.versions[name]}; {MENDS['versions']}"
        return None

    @functools.cached_property
    def digest(self) -> str:
        """Of all of it."""
        parts = {**self.files, **{name: self.versions[name] for name in node_code.BESIDE}}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def _called(self) -> str:
        commit = self.versions["commit"]
        return self.versions["oplstm"] + (f" of commit {commit}" if commit else "")


@functools.cache
def code_here() -> Code:
    """Of this process, as it was when this was first asked."""
    return Code(*node_code.code_here())


@dataclass(frozen=True)
class Sight:
    """What a node has of the data.

    Attributes:
        data: The digests of what each benchmark reads, or why it cannot be read.
    """

    data: tuple[dict[str, str] | str, ...]


def sight(need: "Need") -> Sight:
    """What the machine that runs this has."""
    found: list[dict[str, str] | str] = []
    for benchmark in need.benchmarks:
        try:
            found.append(benchmark.open(need.data).digests())
        except RequestError as error:
            found.append(str(error))
    return Sight(tuple(found))


@dataclass(frozen=True)
class Need:
    """What every node must have beside this oplstm.

    Attributes:
        plugins: Of the sweep; first, because the benchmarks may be made of them.
        data: The folder of datasets.
        benchmarks: Whose data are read.
    """

    plugins: ShippedPlugins
    data: Path
    benchmarks: tuple[Benchmark, ...]

    def problem(self, node: str, seen: Sight, here: Sight) -> str | None:
        """What a node lacks, beside what is seen on this machine; None if nothing."""
        for benchmark, there, wanted in zip(self.benchmarks, seen.data, here.data, strict=True):
            if isinstance(there, str):
                return f"node {node} lacks the data of {benchmark.name}: {there}"
            if isinstance(wanted, dict) and there != wanted:
                which = next(name for name in wanted if there.get(name) != wanted[name])
                other = f"{which} {there.get(which, 'none')}, here {wanted[which]}"
                return f"node {node} has other data of {benchmark.name} in {self.data}: {other}; copy the folder there"
        return None


class Nodes:
    """The nodes of the connected cluster; each is looked at once, those that join later too.

    Args:
        need: What each must have.
    """

    def __init__(self, need: Need) -> None:
        self._need = need
        self._fit: set[str] = set()

    def check(self) -> None:
        """See that every node can train packs. A cluster of this machine alone has what this machine has.

        Raises:
            RequestError: One cannot; a line for each that says which and why.
        """
        alive = {node["NodeID"]: _name(node) for node in ray.nodes() if node["Alive"]}
        new = {node: name for node, name in alive.items() if node not in self._fit}
        if new and set(alive) != {ray.get_runtime_context().get_node_id()}:
            problems = self._problems(new)
            if problems:
                raise RequestError(problems)
        self._fit |= set(new)

    @contextmanager
    def watched(self, until: Callable[[], bool]) -> Iterator[list[str]]:
        """Look at those that join, in here; into the list comes the line that says why one cannot train packs.

        In a thread: while the head of the cluster does not answer, asking for its nodes waits. And a head that is ended
        takes those with it that wait for an answer, in C++, with no word of ours.

        Args:
            until: True once nobody is to be looked at any more.
        """
        unfit, over = list[str](), threading.Event()

        def work() -> None:
            while not (unfit or over.wait(WATCH_SECONDS) or until()):
                try:
                    self.check()
                except RequestError as error:
                    unfit.append("; ".join(error.problems))
                except Exception:  # Ray's, of all kinds, where the cluster ends: those who use it say so
                    return

        threading.Thread(target=work, name="nodes", daemon=True).start()
        try:
            yield unfit
        finally:
            over.set()

    def _problems(self, nodes: dict[str, str]) -> list[str]:
        cloudpickle.register_pickle_by_value(node_code)
        found = _on_each(node_code.code_here, nodes)
        here = code_here()
        problems = {node: Code(*code).problem(nodes[node], here) for node, code in found.items() if _is_answer(code)}
        problems |= {node: str(code) for node, code in found.items() if not _is_answer(code)}
        rest = {node: name for node, name in nodes.items() if problems.get(node) is None and node in found}
        seen, own = _on_each(sight, rest, self._need), sight(self._need)
        for node, name in rest.items():
            if node in seen:
                there = seen[node]
                problems[node] = self._need.problem(name, there, own) if isinstance(there, Sight) else str(there)
        return [problem for node in sorted(nodes, key=nodes.__getitem__) if (problem := problems.get(node)) is not None]


@functools.cache
def nodes_with(need: Need) -> Nodes:
    """The one object of this process, which remembers whom it has looked at."""
    return Nodes(need)


def other_code(digest: str) -> str | None:
    """What is wrong with the code of this process, if its digest is not that of the driver's."""
    if code_here().digest == digest:
        return None
    return f"node {platform.node()} has another oplstm than the machine of the sweep; {MENDS['code']}"


def _is_answer(found: Any) -> bool:
    return isinstance(found, tuple)


def _on_each(function: Callable[..., Any], nodes: dict[str, str], *arguments: Any) -> dict[str, Any]:
    """What a function returns on each node, or the line that says why it did not; without nodes that have died."""
    asked = {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        task = ray.remote(function).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        asked[node] = task.remote(*arguments)
    ray.wait(list(asked.values()), num_returns=len(asked), timeout=LOOK_SECONDS)
    found: dict[str, Any] = {}
    for node, answer in asked.items():
        try:
            found[node] = ray.get(answer, timeout=0)
        except ray.exceptions.GetTimeoutError:
            found[node] = f"node {nodes[node]} has not answered for {LOOK_SECONDS:.0f} s; end its Ray, or mend it"
        except ray.exceptions.RayError as error:
            if any(each["NodeID"] == node and each["Alive"] for each in ray.nodes()):
                found[node] = f"node {nodes[node]} cannot run oplstm: {reason_of(error)}"
    return found


def _name(node: dict[str, Any]) -> str:
    """A node, as its owner calls it."""
    name, host = node["NodeName"], node["NodeManagerHostname"]
    return str(name) if host in (name, "") else f"{name} ({host})"
