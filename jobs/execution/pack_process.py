"""``python -m jobs.execution.pack_process FD``: the process of one pack; it is told the rest through its pipe.

It ends when its parent does, which holds the other end of its standard input. The parent's terminal and batch system
mean the parent, which asks all packs to stop: it starts these processes with those signals held back.
"""

import os
import sys
import threading
import time
from multiprocessing.connection import Connection
from typing import Any

from jobs.execution.pack_messages import Answer, At, Call, Order
from jobs.execution.remote_coordinator import RemoteCoordinator, reason_of
from jobs.execution.turns import train_in_turns
from oplstm.errors import RequestError, WorkError

TELL_SECONDS = 0.5


def main(descriptor: int) -> None:
    """Train the pack that the first message names."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    pipe: Connection[Any, Any] = Connection(descriptor)
    order: Order = pipe.recv()
    told = 0.0

    def call(method: str, *arguments: Any) -> Any:
        pipe.send(Call(method, arguments))
        answer: Answer = pipe.recv()
        if answer.error is not None:
            raise WorkError(answer.error)
        return answer.value

    def tick(update: int, runs: int) -> None:
        nonlocal told
        if time.monotonic() - told >= TELL_SECONDS:
            told = time.monotonic()
            pipe.send(At(update))

    coordinator = RemoteCoordinator(call)
    try:
        train_in_turns(order.assignment, coordinator, order.folder, resources=order.resources, tick=tick)
    except (WorkError, RequestError, OSError) as error:  # such as a full disk: another try would end so too
        coordinator.give_up(reason_of(error))


def _end_with_parent() -> None:
    os.read(0, 1)  # returns when the other end is closed, and holds no lock meanwhile
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
