"""A real PostgreSQL of a test's own: an unprivileged user's, on a free port of the loopback interface."""

import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

from tracking.server.process import any_free_port

_USER: Final = "postgres"  # made by the package; the database server refuses to run as root
_QUICK: Final = "-c fsync=off -c full_page_writes=off"


def _program(name: str) -> str | None:
    """Debian keeps them out of the path, a folder a version."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    return str(versions[-1]) if versions else shutil.which(name)


def missing() -> str:
    """What a test lacks that needs one; "" if nothing."""
    if not _program("initdb") or not _program("pg_ctl"):
        return "PostgreSQL is not installed (Debian, Ubuntu: apt-get install postgresql)"
    return "" if importlib.util.find_spec("psycopg2") else "psycopg2 is not installed (pip install psycopg2-binary)"


class Postgres:
    """A running one.

    Attributes:
        uri: Of its database, as MLflow wants it.
    """

    def __init__(self) -> None:
        self._folder, self._as = Path(tempfile.mkdtemp(prefix="pg-")), dict[str, Any]()
        if os.geteuid() == 0:
            account = pwd.getpwnam(_USER)
            os.chown(self._folder, account.pw_uid, account.pw_gid)
            self._as = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        self._call("initdb", "--no-sync", "--username=mlflow", "--auth=trust", "--encoding=UTF8", "--locale=C")
        self._port = any_free_port()
        self._call("pg_ctl", "start", "-w", "-l", str(self._folder / "log"), "-o",
                   f"-p {self._port} -k '' -c listen_addresses=127.0.0.1 {_QUICK}")  # fmt: skip
        self.uri = f"postgresql+psycopg2://mlflow@127.0.0.1:{self._port}/postgres"

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What it answers to a query."""
        import psycopg2

        connection = psycopg2.connect(host="127.0.0.1", port=self._port, user="mlflow", dbname="postgres")
        try:
            with connection.cursor() as cursor:
                cursor.execute(query)
                return list(cursor.fetchall())
        finally:
            connection.close()

    def files(self) -> Path:
        """The folder of its data, once all of it is there."""
        import psycopg2

        connection = psycopg2.connect(host="127.0.0.1", port=self._port, user="mlflow", dbname="postgres")
        connection.autocommit = True
        connection.cursor().execute("CHECKPOINT")
        connection.close()
        return self._folder

    def stop(self) -> None:
        """End it; nothing of it is left."""
        self._call("pg_ctl", "stop", "-m", "immediate")
        shutil.rmtree(self._folder, ignore_errors=True)

    def _call(self, name: str, *arguments: str) -> None:
        # its own log keeps its words; a pipe would be held open by the server
        command = [str(_program(name)), "-D", str(self._folder / "data"), *arguments]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run(command, cwd="/", check=True, timeout=60, **quiet, **self._as)
