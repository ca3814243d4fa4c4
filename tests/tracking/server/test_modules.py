"""The embedded server runs no module that lies in its home, which may be somebody else's."""

import time
from pathlib import Path

import pytest

from tracking.server.process import any_free_port, end_group, launch
from tracking.server.reachability import answers

PAYLOAD = "import pathlib\npathlib.Path({!r}).write_text(__name__)\nraise SystemExit(1)\n"
SHADOWED = ("mlflow", "uvicorn", "sqlalchemy", "fastapi", "pandas", "yaml")


@pytest.mark.integration
def test_a_module_beside_its_database_is_not_run(tmp_path):
    folder, ran = tmp_path / "mlflow", tmp_path / "ran"
    (folder / "artifacts").mkdir(parents=True)
    for name in SHADOWED:
        (folder / name).mkdir()
        for file in ("__init__.py", "__main__.py"):
            (folder / name / file).write_text(PAYLOAD.format(str(ran)))
    before = sorted(Path("/").iterdir())
    port = any_free_port()
    process = launch(folder, port)
    try:
        deadline = time.monotonic() + 120
        while not answers(f"http://127.0.0.1:{port}", timeout=2.0):
            assert not ran.exists()
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        end_group(process.pid)
        process.wait(timeout=10)
    assert not ran.exists()
    assert sorted(Path("/").iterdir()) == before
    assert (folder / "mlflow.db").is_file()
