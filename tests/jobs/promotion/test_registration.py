"""What a promotion says when the server is gone before all is there."""

import socket

import pytest

from jobs.execution.pack_worker import train_pack
from jobs.promotion import registration
from oplstm.errors import WorkError
from tests.jobs.formula_training import job, new_sweep, opened
from tests.jobs.promoting import select

SMALL = {"budget": {"updates": 2, "validate_every": 1, "validation_tasks": 2, "test_tasks": 2}, "trials": 2}


@pytest.mark.slow
def test_a_server_that_is_gone_is_named_with_what_keeps_it_away(tmp_path, monkeypatch):
    folder = new_sweep(tmp_path / "sweeps" / "s", job("rates", **SMALL, promotion={"tasks": 4}))
    coordinator = opened(folder)
    while (assignment := coordinator.next_pack()) is not None:
        train_pack(assignment, coordinator, folder, resources=coordinator.job.resources)
    coordinator.close(flush_seconds=0)
    monkeypatch.setattr(registration, "SHIP_SECONDS", 0.1)
    with socket.socket() as nobody:  # bound, so that the port stays free
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(WorkError) as caught:
            registration.register(folder, select(folder), f"http://{address}", final="s-final")
    assert str(caught.value) == (
        f"the records of s are not in MLflow yet: tracking server http://{address}: refused, nothing listens at "
        f"{address}; check that the server is up, and the address; the same promote goes on from here"
    )
    assert not folder.promotion.exists()
