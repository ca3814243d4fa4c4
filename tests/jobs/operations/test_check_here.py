"""What would keep a job from starting here, or its final run: found by a plan, with nothing made."""

import pytest
import torch

from jobs.jobfile.reading import parse_job
from jobs.operations import requirements
from jobs.operations.requirements import check_here, disk_bytes
from jobs.store.home import Home
from jobs.sweep.proposals import proposed
from oplstm.errors import RequestError
from oplstm.training.parameters import parameter_count

JOB = "learner: lstm\nbenchmark: {name: sine}\nspace: sine-lstm\nbudget: {tasks: 100, validate_every: 50}\n"
ASKED, CLUSTER = "asked for, this machine has", " or, for a sweep on a cluster, --ray-address"
ALONE = JOB.replace("space: sine-lstm", "fixed: {lr: 0.1, meta_batch_size: 1}")


def job(more="", text=JOB):
    return parse_job(f"{text}{more}\n", "job.yaml")


@pytest.fixture
def machine(monkeypatch):
    """Two cores and one GPU."""
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "somewhere" / "home")


def faults(of, home, *, on_cluster=False):
    with pytest.raises(RequestError) as caught:
        check_here(of, home, on_cluster=on_cluster)
    assert not home.path.exists()
    return list(caught.value.problems)


@pytest.mark.usefixtures("machine")
def test_what_fits_passes_and_nothing_is_made(home):
    check_here(job("resources: {cpus: 2, gpus: 1}\nfinal: {cpus: 2, gpus: 0.5}"), home, on_cluster=False)
    assert not home.path.parent.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ("resources: {gpus: 2}", f"resources.gpus: 2 {ASKED} 1; use --set resources.gpus=1{CLUSTER}"),
        ("resources: {cpus: 64}", f"resources.cpus: 64 {ASKED} 2; use --set resources.cpus=2{CLUSTER}"),
        ("final: {gpus: 3}", f"final.gpus: 3 {ASKED} 1; use --set final.gpus=1"),
        ("final: {cpus: 64}", f"final.cpus: 64 {ASKED} 2; use --set final.cpus=2"),
    ],
)
def test_more_than_the_machine_has_is_a_fault_unless_a_cluster_has_it(more, wanted, home):
    assert faults(job(more), home) == [wanted]
    check_here(job(more), home, on_cluster=True)


@pytest.mark.usefixtures("machine")
def test_a_training_has_no_cluster_to_go_to(home):
    [fault] = faults(job("resources: {cpus: 64}", ALONE), home)
    assert fault == "resources.cpus: 64 asked for, this machine has 2; use --set resources.cpus=2"


def test_a_fraction_of_a_gpu_needs_one_too(home, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    [fault] = faults(job("resources: {gpus: 0.25}"), home)
    assert fault.startswith("resources.gpus: 0.25 asked for, this machine has 0; use --set resources.gpus=0")


@pytest.mark.parametrize("on_cluster", [True, False])
def test_all_that_is_missing_is_said_at_once(on_cluster, tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(requirements, "disk_bytes", lambda job: 1)
    (tmp_path / "file").write_text("")
    of = job("resources: {cpus: 3}", ALONE.replace("{name: sine}", "{name: omniglot}"))
    of = of.model_copy(update={"space": "builtins:dict"})
    found = faults(of, Home(tmp_path / "file" / "home"), on_cluster=on_cluster)
    assert found[0].startswith("space 'builtins:dict': no file of that module is found from ")
    assert "omniglot" in found[1]
    assert found[2].startswith(f"cannot write to {tmp_path}/file/home: Not a directory; set OPLSTM_HOME to")
    assert [line.partition(":")[0] for line in found[3:]] == ([] if on_cluster else ["resources.cpus"])


def test_a_full_disk_is_found_before_anything_is_made(home, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1 << 20})())
    [fault] = faults(job(), home, on_cluster=True)
    assert fault.startswith(f"{home.path} has 1 MiB free and this needs about ")


@pytest.mark.parametrize("learner", ["lstm", "op_lstm", "maml", "protonet", "warp_maml", "sap"])
def test_disk_use_is_estimated_without_the_weights(learner, monkeypatch):
    text = ALONE.replace("learner: lstm", f"learner: {learner}").replace("{name: sine}", "{name: miniimagenet}")
    of = job("seeds: 3", text)
    run = next(proposed(of)).run
    least = (parameter_count(run) + run.budget.validation_tasks) * 4 * requirements.COPIES * 3
    if learner not in ("warp_maml", "sap"):  # theirs are few, whatever a job says
        monkeypatch.setattr(torch, "empty", without_memory(torch.empty))
    assert least < disk_bytes(of) < least + 3 * (40 * requirements.BYTES_A_POINT + 16 * run.budget.test_tasks + 40_000)


def without_memory(make):
    def made(*size, **options):
        tensor = make(*size, **options)
        assert tensor.device.type == "meta"
        return tensor

    return made


def test_points_without_a_run_are_not_tried_for_ever(monkeypatch):
    text = JOB.replace("sine-lstm", "tests.jobs.jobfile.odd_spaces:nowhere_feasible")
    of, tried = job("trials: 100000", text), []

    def counted(job):
        for point in proposed(job):
            tried.append(point)
            yield point

    monkeypatch.setattr(requirements, "proposed", counted)
    assert disk_bytes(of) == 0
    assert len(tried) == requirements.POINTS_TRIED
