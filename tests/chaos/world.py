"""One home and the verbs that work in it, until a sweep is complete and promoted."""

import os
from pathlib import Path
from typing import Any

from jobs.operations.running import is_running
from jobs.store.home import SweepFolder
from tests.chaos.findings import Findings, found_promotion, found_runs, found_trials
from tests.chaos.injuries import Phase
from tests.chaos.power_cut import Disk
from tests.chaos.workload import SEEDS, Workload
from tests.conftest import ROOT
from tests.jobs.integration.command_line import Oplstm, Verb, wait_until
from tests.tracking.conftest import Rest

RECORDER = ROOT / "tests" / "chaos" / "recorder"
WORK = ("asked", "refused", "point", "ended", "finished", "promoted")


class World:
    """A home with one sweep in it.

    Args:
        folder: For all its files; made.
        workload: The sweep.
        uri: Of the MLflow server.
        experiment: In MLflow; no other world's.
    """

    def __init__(self, folder: Path, workload: Workload, *, uri: str, experiment: str) -> None:
        (folder / "home").mkdir(parents=True)
        self.oplstm = Oplstm(folder / "home", ROOT)
        self.workload, self.uri, self.experiment = workload, uri, experiment
        self.disk = Disk(folder / "home", folder / "disk")
        self._job = self.oplstm.job(experiment, **workload.job)

    @property
    def sweep(self) -> SweepFolder:
        return self.oplstm.sweep(self.workload.name)

    def sweeps(self, phase: Phase) -> list[str]:
        """The names of those that belong to a phase, in order of their making."""
        names = [folder.name for folder in self.oplstm.home.all_sweeps()]
        return [name for name in names if (name == self.workload.name) == (phase is Phase.SWEEP)]

    def done(self, phase: Phase) -> int:
        """How much of a phase is done: things that happen once, whatever breaks, counted once."""
        found: set[Any] = set()
        for folder in self.oplstm.home.all_sweeps():
            for event in self.oplstm.events(folder.name, *WORK):
                is_promotion = folder.name != self.workload.name or event["event"] == "promoted"
                is_stop = event.get("state") == "stopped"
                if is_promotion == (phase is Phase.PROMOTE) and not is_stop:
                    found.add((folder.name, event["event"], event.get("trial"), event.get("update")))
        return len(found)

    def first_point(self, phase: Phase) -> float:
        """When a phase had its first point, in Unix seconds."""
        return min(event["time"] for name in self.sweeps(phase) for event in self.oplstm.events(name, "point"))

    def finished(self, phase: Phase) -> bool:
        """Whether nothing is left to do: the sweep has ended, or the final run of its promotion."""
        ended = {name for name in self.sweeps(phase) if self.oplstm.events(name, "finished")}
        if phase is Phase.SWEEP:
            return bool(ended)
        return any(self.oplstm.events(name, "finished") and _is_final(self.oplstm, name) for name in ended)

    def start(self, phase: Phase) -> Verb:
        """The verb by which a user would go on."""
        left = [name for name in self.sweeps(phase) if not self.oplstm.events(name, "finished")]
        if left:
            return self._verb("resume", left[-1])
        if phase is Phase.SWEEP:
            return self._verb("sweep", self._job, "--name", self.workload.name, "--tracking-uri", self.uri)
        return self._verb("promote", self.workload.name, "--seeds", str(SEEDS))

    def _verb(self, *arguments: str) -> Verb:
        path = os.pathsep.join([str(RECORDER), str(ROOT)])
        resources = f'{{"CPU": {self.workload.slots}}}'
        given = {**self.disk.environment, "PYTHONPATH": path, "RAY_OVERRIDE_RESOURCES": resources}
        given["XDG_CONFIG_HOME"] = str(self.oplstm.folder / "config")
        return self.oplstm.start(*arguments, **given)

    def wait_idle(self) -> None:
        """Return when no process has a sweep of this home in use."""
        wait_until(lambda: not any(is_running(folder) for folder in self.oplstm.home.all_sweeps()), 60)

    def ship(self) -> list[str]:
        """Send what still waits for MLflow, as the verbs tell a user to; returns what `doctor` finds wrong."""
        wrong = []
        for folder in self.oplstm.home.all_sweeps():
            done = self.oplstm.here("doctor", folder.name, "--tracking-uri", self.uri, "--json")
            if done.code == 0:
                continue
            checks = done.json["checks"] if done.out.startswith("{") else []
            found = [f"{check['check']}: {check['found']}" for check in checks if not check["ok"]]
            wrong += [f"doctor {folder.name}: {line}" for line in found or [done.err.strip() or done.out.strip()]]
        return wrong

    def findings(self) -> Findings:
        """What there is in the end."""
        rest = Rest(self.uri)
        trials = {}
        for folder in self.oplstm.home.all_sweeps():
            trials |= found_trials(self.oplstm, folder.name)
        return Findings(
            trials=trials,
            runs=found_runs(rest, self.experiment),
            promotion=found_promotion(self.oplstm, self.workload.name, rest, self.experiment),
            table=self.oplstm.here("table", "1", "--tracking-uri", self.uri).ok().out,
        )

    def end(self) -> None:
        self.oplstm.end()


def _is_final(oplstm: Oplstm, name: str) -> bool:
    from jobs.store.header import Header

    return Header.read(oplstm.sweep(name)).kind == "final"
