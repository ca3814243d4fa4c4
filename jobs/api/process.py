"""What a call settles for its whole process, and leaves as it was: a notebook has other work to do."""

import contextlib
import logging
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any, Final

from tracking.server.client import SETTLED

_VARIABLES: Final = (*SETTLED, "CUBLAS_WORKSPACE_CONFIG")
_LOGGERS: Final = ("optuna", "mlflow", "ray")


def unseen(progress: Any) -> None:
    """Progress that nobody wants to see."""


class _Before:
    """How the process was before the first of the calls that run at once; the last one puts it back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls = 0
        self._variables: dict[str, str | None] = {}
        self._levels: dict[str, int] = {}
        self._torch: dict[str, Any] = {}

    def enter(self) -> None:
        """A call begins."""
        with self._lock:
            self._calls += 1
            if self._calls > 1:
                return
            self._variables = {name: os.environ.get(name) for name in _VARIABLES}
            self._levels = {name: logging.getLogger(name).level for name in _LOGGERS}
            self._torch = _torch_settings()
            logging.getLogger("optuna").setLevel(logging.ERROR)

    def leave(self) -> None:
        """A call has ended."""
        with self._lock:
            self._calls -= 1
            if self._calls:
                return
            for name, value in self._variables.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            for name, level in self._levels.items():
                logging.getLogger(name).setLevel(level)
            _set_torch(self._torch)


_BEFORE: Final = _Before()


@contextlib.contextmanager
def as_before() -> Iterator[None]:
    """Afterwards environment, levels of logging and settings of torch are as they were; Optuna says nothing in here."""
    import optuna  # which sets the level of its logger when it is imported
    import torch

    del optuna
    threads = torch.get_num_threads()
    _BEFORE.enter()
    try:
        yield
    finally:
        _BEFORE.leave()
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)


def _torch_settings() -> dict[str, Any]:
    torch = sys.modules["torch"]
    if not torch.cuda.is_available():  # nothing of it is settled elsewhere
        return {}
    backends = torch.backends
    return {
        "products": backends.cuda.matmul.fp32_precision,
        "convolutions": backends.cudnn.conv.fp32_precision,
        "deterministic": backends.cudnn.deterministic,
    }


def _set_torch(settings: dict[str, Any]) -> None:
    if settings:
        backends = sys.modules["torch"].backends
        backends.cuda.matmul.fp32_precision = settings["products"]
        backends.cudnn.conv.fp32_precision = settings["convolutions"]
        backends.cudnn.deterministic = settings["deterministic"]
