"""An MLflow server that several people use: with MLflow's own accounts, and artifacts that it stores itself."""

import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO, Final

from tests.tracking.faulty_proxy import basic
from tracking.server.process import any_free_port, end_group

ADMIN: Final = ("admin", "adm1n-of-the-server")
_STARTING_SECONDS: Final = 120.0


class SharedServer:
    """``mlflow server``, ready; with ``--app-name basic-auth`` unless told otherwise.

    Args:
        folder: For its artifacts, log and accounts.
        store: Of its records; SQLite in the folder by default.
        accounts: Whether it asks for names and passwords.

    Attributes:
        uri: Its address.
        artifacts: Where it stores them.
    """

    def __init__(self, folder: Path, store: str | None = None, *, accounts: bool = True) -> None:
        self.folder, self.artifacts, self._port = folder, folder / "artifacts", any_free_port()
        self.uri = f"http://127.0.0.1:{self._port}"
        self._store = store or f"sqlite:///{folder / 'mlflow.db'}"
        self._secret, self._app = secrets.token_hex(), ("--app-name", "basic-auth") if accounts else ()
        accounts = folder / "accounts.ini"
        accounts.write_text(
            "[mlflow]\ndefault_permission = READ\nauthorization_function = "
            "mlflow.server.auth:authenticate_request_basic_auth\n"
            f"database_uri = sqlite:///{folder / 'accounts.db'}\nadmin_username = {ADMIN[0]}\n"
            "auth_cache_ttl_seconds = 60\n"  # else it hashes the password again at every call
        )
        self.start()

    def start(self) -> None:
        """Start it, at the address that it had."""
        command = [
            *(sys.executable, "-m", "mlflow", "server", *self._app, "--host", "127.0.0.1"),
            *("--port", str(self._port), "--workers", "1", "--backend-store-uri", self._store),
            *("--artifacts-destination", self.artifacts.as_uri()),
        ]
        own = {
            "MLFLOW_AUTH_CONFIG_PATH": str(self.folder / "accounts.ini"),
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": self._secret,
        }
        log: IO[bytes]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=os.environ | own, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + _STARTING_SECONDS
        while not self._is_up():
            said = (self.folder / "server.log").read_text()[-3000:]
            assert self._process.poll() is None and time.monotonic() < deadline, said
            time.sleep(0.1)

    def end(self) -> None:
        """End it, as a restart of its machine would."""
        end_group(self._process.pid)
        self._process.wait()

    def add_user(self, name: str, password: str) -> None:
        """An account that may do what those of MLflow's ordinary users may."""
        header, value, _ = basic(*ADMIN)
        request = urllib.request.Request(
            f"{self.uri}/api/2.0/mlflow/users/create",
            json.dumps({"username": name, "password": password}).encode(),
            {"Content-Type": "application/json", header: value},
        )
        urllib.request.urlopen(request, timeout=30).close()

    def _is_up(self) -> bool:
        try:
            return bool(urllib.request.urlopen(f"{self.uri}/health", timeout=5).status == 200)
        except OSError:
            return False
