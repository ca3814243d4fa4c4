"""One home and the verbs that work in it, until a sweep is complete and promoted."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobs.operations.running import is_running
from jobs.store.home import SweepFolder
from tests.chaos.findings import Findings, found_promotion, found_runs, found_table, found_trials, is_replicate
from tests.chaos.injuries import Phase
from tests.chaos.power_cut import Disk
from tests.chaos.recorder.sitecustomize import number_sweeps
from tests.chaos.workload import SEEDS, Workload
from tests.conftest import ROOT
from tests.jobs.integration.command_line import Done, Oplstm, Verb, wait_until
from tests.tracking.conftest import Rest

RECORDER = ROOT / "tests" / "chaos" / "recorder"
WORK = ("asked", "replicated", "refused", "point", "ended", "finished", "promoted")


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
        self._counted: dict[Phase, tuple[object, int]] = {}

    @property
    def sweep(self) -> SweepFolder:
        return self.oplstm.sweep(self.workload.name)

    def done(self, phase: Phase) -> int:
        """How much of a phase is done: things that happen once, whatever breaks, counted once."""
        folders = self.oplstm.home.all_sweeps()
        sizes = [(folder.name, folder.journal.stat().st_size) for folder in folders if folder.journal.exists()]
        if self._counted.get(phase, (None, 0))[0] != sizes:  # it is asked twenty times a second
            found = {
                (folder.name, event["event"], event.get("trial"), event.get("replicate"), event.get("update"))
                for folder in folders
                for event in self._work(folder.name, phase)
            }
            self._counted[phase] = sizes, len(found)
        return self._counted[phase][1]

    def _work(self, name: str, phase: Phase) -> Iterator[dict[str, Any]]:
        """The events of a sweep that belong to a phase; replicates belong to a promotion."""
        for event in self.oplstm.events(name, *WORK):
            of_replicate = event["event"] == "replicated" or is_replicate(str(event.get("trial")))
            promotes = name != self.workload.name or event["event"] == "promoted" or of_replicate
            if promotes == (phase is Phase.PROMOTE) and event.get("state") != "stopped":
                yield event

    def has_ended(self, phase: Phase) -> bool:
        """Whether a sweep has ended, though its verb may not have come to say so; a promotion is asked again."""
        return phase is Phase.SWEEP and bool(self.oplstm.events(self.workload.name, "finished"))

    def start(self, phase: Phase) -> Verb:
        """The verb by which a user would go on."""
        path = os.pathsep.join([str(RECORDER), str(ROOT)])
        resources = f'{{"CPU": {self.workload.slots}}}'
        given = {**self.disk.environment, "PYTHONPATH": path, "RAY_OVERRIDE_RESOURCES": resources}
        given["XDG_CONFIG_HOME"] = str(self.oplstm.folder / "config")
        return self.oplstm.start(*self._verb(phase), **given)

    def here(self, phase: Phase) -> Done:
        """The same verb in this process, to its end."""
        random_id = uuid.uuid4
        number_sweeps(self.oplstm.home.sweeps)
        try:
            return self.oplstm.here(*self._verb(phase))
        finally:
            uuid.uuid4 = random_id

    def _verb(self, phase: Phase) -> tuple[str, ...]:
        if phase is Phase.PROMOTE:
            return "promote", self.workload.name, "--seeds", str(SEEDS)
        if self.sweep.header.is_file():
            return "resume", self.workload.name
        return "sweep", self._job, "--name", self.workload.name, "--tracking-uri", self.uri

    def wait_idle(self) -> None:
        """Return when no process has a sweep of this home in use."""
        wait_until(lambda: not any(is_running(folder) for folder in self.oplstm.home.all_sweeps()), 300)

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
            promotion=found_promotion(self.oplstm, self.workload.name, rest=rest, experiment=self.experiment),
            table=found_table(self.oplstm, self.uri),
        )

    def end(self) -> None:
        self.oplstm.end()
