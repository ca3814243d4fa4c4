"""Takes a world through a round: starts verbs, hurts whom the history names, and goes on until all is complete."""

import contextlib
import os
import random
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import psutil

from tests.chaos.injuries import Injury, Kind, Phase, Victim
from tests.chaos.outage import HurtServer
from tests.chaos.processes import SIGNALS, Processes
from tests.chaos.world import World
from tests.jobs.integration.command_line import Done, Verb

LOOK_SECONDS: Final = 0.05
STALLED_SECONDS: Final = 600.0
"""Without any progress; only a hang takes so long."""
RAYS_AGENTS = ("ray::DashboardAgent", "ray::RuntimeEnvAgent")
"""They outlive a raylet that was killed for a minute and more, and do nothing."""
LINGERING_SECONDS: Final = 300.0
FRUITLESS: Final = 5
"""Verbs one after the other that end by themselves without having done anything: it will never be complete."""
SIGNALLED: Final = (Kind.TERM, Kind.INT)
"""What a machine's processes get once; a kill is repeated until there are none."""
PAUSE_SECONDS: Final = (0.2, 1.5)
OUTAGE: Final = (0.1, 0.6)
"""Of the work of a phase, how much is done while the server is away."""
WAITING_SECONDS: Final = 10.0
"""Without anything being done, after which it comes back all the same: a promotion waits for it."""


@dataclass
class Event:
    """What happened, for a reader of the history.

    Attributes:
        at: Seconds since the round began.
        what: An injury, or the end of a verb.
        done: How much of the phase was done.
        detail: Such as an exit code, or what a disk forgot.
    """

    at: float
    what: str
    done: int
    detail: str = ""


@dataclass
class Suffered:
    """What a round went through.

    Attributes:
        events: In order.
        injuries: That were done.
        missed: That were not: the work was complete before, or the victim never there.
        faults: What is wrong already, a line each: a traceback, a hang.
        seconds: Of each phase.
        ending: Seconds of them from an injury after which a verb has to be started anew to the verb's end.
        restarting: Seconds of them from the end of a verb to the first thing that the next one got done.
        waiting: Seconds of them in which nothing could be done for want of a server.
        verbs: Started, in each phase.
    """

    events: list[Event] = field(default_factory=list)
    injuries: list[Injury] = field(default_factory=list)
    missed: list[Injury] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    seconds: dict[Phase, float] = field(default_factory=dict)
    ending: float = 0.0
    restarting: float = 0.0
    waiting: float = 0.0
    verbs: dict[Phase, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        data = asdict(self)
        return data | {name: list(map(str, getattr(self, name))) for name in ("injuries", "missed")}


class Round:
    """One round.

    Args:
        world: In which it happens.
        server: The MLflow server of the world.
        say: Told what happens.
    """

    def __init__(self, world: World, server: HurtServer, say: Callable[[str], object]) -> None:
        self._world, self._server, self._say = world, server, say
        self._began = time.monotonic()
        self.suffered = Suffered()
        self._back_at = 0.0  # how much is done when the server comes back
        self._ending: float | None = None  # when the verb got what it ends of
        self._ended: float | None = None  # when a verb ended after which nothing was done yet

    def run(self, injuries: tuple[Injury, ...], totals: dict[Phase, int]) -> Suffered:
        """Go through it.

        Args:
            injuries: In order.
            totals: How much there is to do in each phase.
        """
        for phase in Phase:
            began = time.monotonic()
            self._phase(phase, deque(one for one in injuries if one.phase is phase), totals[phase])
            self.suffered.seconds[phase] = time.monotonic() - began
        self._server.revive()
        self._server.wait()
        return self.suffered

    def _phase(self, phase: Phase, injuries: deque[Injury], total: int) -> None:
        world, fruitless = self._world, 0
        self.suffered.verbs[phase], complete, self._ended = 0, False, None
        while not complete and fruitless < FRUITLESS:
            self._server.revive()
            self._server.wait()
            world.wait_idle()
            before, hurt = world.done(phase), len(self.suffered.injuries)
            verb = world.start(phase)
            self.suffered.verbs[phase] += 1
            self._accompany(verb, phase, injuries=injuries, total=total)
            if verb.running():  # it hangs
                Processes(verb.pid).end()
            done = verb.wait(300)
            self._ended = self._ended or time.monotonic()
            self.suffered.ending += 0.0 if self._ending is None else time.monotonic() - self._ending
            self._ending = None
            self._see_them_end(Processes(verb.pid))
            complete = done.code == 0 or world.has_ended(phase)
            last = (done.err.strip() or done.out.strip()).splitlines()[-1:] or [""]
            self._note(f"the verb ended with {done.code}", world.done(phase), last[0][:300])
            if "Traceback (most recent call last)" in done.err:
                self.suffered.faults.append(f"a traceback in a user's face: {last[0][:300]}")
            if done.code > 0 and not says_more(done):
                self.suffered.faults.append(f"no line says how to go on: {last[0][:300]}")
            is_idle = world.done(phase) <= before and len(self.suffered.injuries) == hurt
            fruitless = fruitless + 1 if is_idle else 0
        self.suffered.missed += injuries
        if not complete:
            self.suffered.faults.append(f"the {phase} is not complete after {FRUITLESS} verbs: {last[0]}")

    def _see_them_end(self, processes: Processes) -> None:
        """Ray's processes end by themselves once the one that started them has, however it did."""
        deadline = time.monotonic() + LINGERING_SECONDS
        while left := processes.all():
            if all(process.name() in RAYS_AGENTS for process in left):
                processes.end()
            if time.monotonic() > deadline:
                names = ", ".join(sorted({process.name() for process in left}))
                self.suffered.faults.append(f"left behind after {LINGERING_SECONDS:.0f} s: {names}")
                processes.end()
            time.sleep(LOOK_SECONDS)

    def _accompany(self, verb: Verb, phase: Phase, *, injuries: deque[Injury], total: int) -> None:
        """Hurt a verb until it ends or has to be started anew."""
        processes, moved, done = Processes(verb.pid), time.monotonic(), self._world.done(phase)
        while verb.running():
            now = self._world.done(phase)
            if now != done:
                moved, done = time.monotonic(), now
                self._goes_on(moved)
            waits = time.monotonic() - moved > WAITING_SECONDS
            if self._server.is_out and (waits or done >= self._back_at):
                self._note("the server comes back", done)
                self._server.revive()
                if self._ended is None and self._ending is None and waits:
                    self.suffered.waiting += time.monotonic() - moved
            if injury := self._due(injuries, processes, done=done, total=total):
                injuries.remove(injury)
                self._hurt(injury, processes, done=done, total=total)
                moved = time.monotonic()
                if injury.kind in (Kind.KILL, Kind.POWER) and injury.victim in (Victim.DRIVER, Victim.MACHINE):
                    verb.wait(300)
                    return
            if time.monotonic() - moved > STALLED_SECONDS:
                self.suffered.faults.append(f"no progress for {STALLED_SECONDS:.0f} s at {done}/{total} of {phase}")
                return
            time.sleep(LOOK_SECONDS)

    def _goes_on(self, now: float) -> None:
        if self._ended is not None:
            self.suffered.restarting += now - self._ended
        self._ended = None

    def _due(self, injuries: deque[Injury], processes: Processes, *, done: int, total: int) -> Injury | None:
        """The first whose time has come: of those that come at once only the next one, or they would come together."""
        first = [one for place, one in enumerate(injuries) if one.share is not None or not place]
        return next((one for one in first if self._is_time(one, processes, done=done, total=total)), None)

    def _is_time(self, injury: Injury, processes: Processes, *, done: int, total: int) -> bool:
        if injury.share is not None and done < injury.share * total:
            return False
        if injury.share is None and not processes.of(injury.stage):
            return False
        return self._server.is_up if injury.victim is Victim.SERVER else bool(processes.of(injury.victim))

    def _hurt(self, injury: Injury, processes: Processes, *, done: int, total: int) -> None:
        dice = random.Random(injury.dice)
        detail = ""
        if injury.victim is Victim.SERVER:
            self._back_at = done + dice.uniform(*OUTAGE) * total
            self._server.hurt(injury.kind)
        elif injury.victim is Victim.MACHINE and injury.kind in SIGNALLED:
            for process in processes.all():
                with contextlib.suppress(psutil.Error):
                    process.send_signal(SIGNALS[injury.kind])
        elif injury.victim is Victim.MACHINE:
            processes.end()
            if injury.kind is Kind.POWER:
                detail = str(self._world.disk.cut(injury.dice))
        else:
            try:
                _signal(dice.choice(processes.of(injury.victim)), injury, dice.uniform(*PAUSE_SECONDS))
            except (psutil.Error, ProcessLookupError, IndexError):  # it ended in this instant
                self.suffered.missed.append(injury)
                return
        if injury.ends_the_verb:
            self._ending = self._ending or time.monotonic()
        self.suffered.injuries.append(injury)
        self._note(str(injury), done, detail)

    def _note(self, what: str, done: int, detail: str = "") -> None:
        event = Event(round(time.monotonic() - self._began, 1), what, done, detail)
        self.suffered.events.append(event)
        self._say(f"{event.at:7.1f} s  {what}, {done} done{f': {detail}' if detail else ''}")


def says_more(done: Done) -> bool:
    """Whether a verb that failed says so in words of its own, and not of Ray's alone."""
    lines = [*done.out.splitlines(), *done.err.splitlines()]
    return any(line.startswith("oplstm: ") or "go on with: oplstm " in line for line in lines)


def _signal(victim: psutil.Process, injury: Injury, pause: float) -> None:
    if injury.victim is Victim.DRIVER and injury.kind is Kind.INT:
        os.killpg(victim.pid, signal.SIGINT)  # as a terminal does
        return
    victim.send_signal(SIGNALS[injury.kind])
    if injury.kind is Kind.STOP:
        time.sleep(pause)
        victim.resume()
