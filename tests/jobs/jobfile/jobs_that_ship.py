"""The jobs that ship, by their benchmark, and what trains the first trials of one, shortened."""

import json

import torch
import yaml

from jobs.jobfile.reading import load_job
from jobs.jobfile.shipped import shipped_jobs
from oplstm.testing.recorder import Recorder
from oplstm.training.loop import Trainer
from oplstm.training.pack import Pack
from tests.jobs.jobfile.job_texts import ask_some

_JOBS = {name: yaml.safe_load(text) for name, text in shipped_jobs().items()}
ON_SINE = [name for name, job in _JOBS.items() if job["benchmark"]["name"] == "sine"]
SWEEPS_ON_SINE = [name for name in ON_SINE if "space" in _JOBS[name]]
ON_IMAGES = sorted(set(shipped_jobs()) - set(ON_SINE))
ONE_OF_EACH_KIND_ON_IMAGES = list(
    {json.dumps({**_JOBS[name], "description": None, "benchmark": None}): name for name in reversed(ON_IMAGES)}.values()
)
"""Of jobs that differ in their pictures alone the first by name."""
SHORT = ("updates=3", "validate_every=2", "validation_tasks=4", "test_tasks=4")


def trains_its_first(name, configurations, tmp_path, device, settings=()):
    job = load_job(name, [*SHORT, *settings])
    for number, proposal in enumerate(ask_some(job, configurations)):
        heard, folder = Recorder(), tmp_path / str(number)
        pack = Pack([proposal.run], ["run"], device)
        Trainer(pack, heard, folder=folder / "pack", run_folder=folder / "trials").train()
        assert [point.update for point in heard.points] == [0, 2]
        [end] = heard.ends.values()
        assert (end.state, end.update) == ("complete", 3)
        assert torch.tensor(list(end.metrics.values())).isfinite().all()
