"""The command line as a user meets it: a process of its own, or the same verb in this process where that will do."""

import contextlib
import json
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from click.testing import CliRunner

from jobs.cli.main import main
from jobs.store.home import Home, SweepFolder
from tracking.journal.journal import Journal
from tracking.server.ending import end_unused_server

TINY = {
    "version": 1,
    "description": "A test's.",
    "learner": "lstm",
    "benchmark": {"name": "sine", "shots": 5, "queries": 10},
    "fixed": {"support": "batched"},
    "space": "tests.jobs.integration.spaces:learning",
    "trials": 2,
    "budget": {"tasks": 400, "validate_every": 100, "validation_tasks": 20, "test_tasks": 20},
    "resources": {"cpus": 1, "pack": 4, "retries": 1},  # a pack is a process, which takes seconds to start
    "promotion": {"leaders": 3, "tasks": 40},
    "final": {"seeds": 2, "cpus": 1},
}


@dataclass(frozen=True)
class Done:
    """What a verb left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)

    def ok(self) -> "Done":
        """It has done what was asked for."""
        return self._with(0)

    def incomplete(self) -> "Done":
        """It has reported work that was stopped, lost runs or completed none."""
        return self._with(1)

    def _with(self, code: int) -> "Done":
        assert self.code == code, f"exit code {self.code}\n{self.err}\n{self.out}"
        return self


class Verb:
    """`oplstm ...` as a process that leads a process group, as a shell starts it.

    Args:
        command: The program and its arguments.
        log: Where stdout and stderr go, with the suffixes .out and .err.
        environment: Of the process.
        terminal: Whether stderr is a terminal.
    """

    def __init__(self, command: list[str], log: Path, environment: dict[str, str], *, terminal: bool) -> None:
        self._out, self._err = log.with_suffix(".out"), log.with_suffix(".err")
        keyboard, screen = pty.openpty() if terminal else (-1, os.open(self._err, os.O_WRONLY | os.O_CREAT))
        with self._out.open("wb") as out:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=screen, env=environment, start_new_session=True
            )
        os.close(screen)
        self._recorder = threading.Thread(target=record, args=(keyboard, self._err)) if terminal else None
        if self._recorder:
            self._recorder.start()
        self.pid = self._process.pid

    def wait(self, seconds: float = 120) -> Done:
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"still running after {seconds} s: {self.err()}") from None
        if self._recorder:
            self._recorder.join(10)
        return Done(code, self.out(), self.err())

    def running(self) -> bool:
        return self._process.poll() is None

    def interrupt(self) -> None:
        """Ctrl-C: the terminal signals the whole group."""
        os.killpg(self.pid, signal.SIGINT)

    def terminate(self) -> None:
        """kill: the process alone, as a batch system or a service manager does."""
        os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """kill -9 of the whole group."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self._process.wait(10)

    def out(self) -> str:
        return self._out.read_text()

    def err(self) -> str:
        return self._err.read_text()


def record(terminal: int, path: Path) -> None:
    """Write what a terminal shows to a file until nobody has it open any more."""
    with path.open("wb") as file, contextlib.suppress(OSError):
        while shown := os.read(terminal, 4096):
            file.write(shown)
            file.flush()
    os.close(terminal)


class Oplstm:
    """The command line with an $OPLSTM_HOME of its own.

    Args:
        home: The folder.
        root: The checkout whose code is run.
    """

    def __init__(self, home: Path, root: Path) -> None:
        self.home = Home(home)
        self.folder = home.parent
        self._root = root
        self._verbs: list[Verb] = []

    def job(self, name: str, **changes: Any) -> str:
        """Write a tiny job file whose top-level keys are replaced or, where they are mappings, updated."""
        job = {
            key: {**value, **changes[key]} if isinstance(value, dict) and isinstance(changes.get(key), dict) else value
            for key, value in TINY.items()
        }
        job |= {key: value for key, value in changes.items() if not isinstance(job.get(key), dict)}
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(job))
        return str(path)

    def here(self, *arguments: str) -> Done:
        """Run a verb in this process, on this process's Ray."""
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            result = CliRunner(env={"OPLSTM_HOME": str(self.home.path)}).invoke(main, arguments)
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Done(result.exit_code, result.stdout, result.stderr)

    def start(self, *arguments: str, terminal: bool = False, **environment: str) -> Verb:
        """Start a verb as a process."""
        command = [str(Path(sys.executable).with_name("oplstm")), *arguments]
        log = self.folder / f"{len(self._verbs):02d}-{arguments[0]}"
        given = {**os.environ, "OPLSTM_HOME": str(self.home.path), "PYTHONPATH": str(self._root), **environment}
        verb = Verb(command, log, given, terminal=terminal)
        self._verbs.append(verb)
        return verb

    def run(self, *arguments: str, seconds: float = 120) -> Done:
        """Run a verb as a process to its end."""
        return self.start(*arguments).wait(seconds)

    def end(self) -> None:
        """End what is left of the processes."""
        for verb in self._verbs:
            verb.kill()
        end_unused_server(self.home.path)  # that of one which was killed

    def sweep(self, name: str) -> SweepFolder:
        return SweepFolder(self.home.sweeps / name)

    def events(self, name: str, *kinds: str) -> list[dict[str, Any]]:
        """The sweep's own journal records of these kinds; [] before there is a journal."""
        path = self.sweep(name).journal
        records = Journal.read(path) if path.exists() else ()
        return [record for record in records if record.get("event") in kinds]

    def starts(self, name: str) -> Counter[str]:
        """How often each pack was begun."""
        return Counter(event["pack"] for event in self.events(name, "started"))

    def await_points(self, name: str, count: int, *, verb: Verb | None = None, after: int = 0) -> None:
        """Return when the journal holds `count` points beyond update 0, but for the first `after` of them."""

        def there() -> bool:
            found = [point for point in self.events(name, "point") if point["update"]]
            assert verb is None or verb.running(), f"it has ended: {verb.err() or verb.out()}"
            return len(found) >= after + count

        wait_until(there)


def wait_until(true: Callable[[], object], seconds: float = 120) -> None:
    """Return when `true()` is; AssertionError after `seconds`."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
