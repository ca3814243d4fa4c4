"""Whether a sweep runs."""

import pytest

from jobs.operations.running import is_running, require_idle
from oplstm.errors import RequestError
from tests.jobs.formula_training import job, new_sweep, opened


def test_whether_a_sweep_runs_is_whether_its_journal_is_held(oplstm_home):
    folder = new_sweep(oplstm_home / "sweeps" / "s", job())
    assert not is_running(folder)
    coordinator = opened(folder)
    assert is_running(folder)
    with pytest.raises(RequestError, match=r"^s is running; oplstm stop s stops it$"):
        require_idle(folder)
    coordinator.close(flush_seconds=0)
    require_idle(folder)
