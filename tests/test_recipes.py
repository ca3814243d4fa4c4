"""The files of docs/recipes, as far as they can be tried without SLURM, Kubernetes and a builder of images."""

import os
import re
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.specifiers import SpecifierSet

from jobs.cli.main import main
from tests.conftest import ROOT
from tests.test_docs import unknown_words

RECIPES = ROOT / "docs" / "recipes"
FAKES = {
    "scontrol": 'echo "scontrol $*" >> "$LOG"; [ "$1" = show ] && printf "n1\\nn2\\nn3\\n" || true',
    # srun runs what follows its options, on a node that is this machine
    "srun": 'echo "srun $*" >> "$LOG"; while [ "${1#--}" != "$1" ]; do shift; done; exec "$@"',
    "ray": """[ "$1" = health-check ] && exit 0
        trap 'kill $!; echo ended >> "$LOG"; exit 0' TERM; sleep 60 & echo up >> "$LOG"; wait""",
    "oplstm": """trap 'kill $!; exit 1' TERM; sleep 60 &
        mkdir -p "$OPLSTM_HOME/sweeps/wide"; touch "$OPLSTM_HOME/sweeps/wide/sweep.json"
        until [ "$(grep -c ^up "$LOG")" = 3 ]; do /bin/sleep 0.01; done
        echo "oplstm $*" >> "$LOG"; echo "token ${#RAY_AUTH_TOKEN} $RAY_AUTH_MODE" >> "$LOG"
        if [ "$1" = resume ]; then kill $!; exit "$CODE"; fi; wait""",
}


class Slurm:
    """A job of slurm.sh among commands that only write down how they are called."""

    def __init__(self, folder: Path) -> None:
        self._log, commands = folder / "log", folder / "commands"
        commands.mkdir()
        for name, text in FAKES.items():
            (commands / name).write_text(f"#!/bin/bash\n{text}\n")
            (commands / name).chmod(0o755)
        path = f"{commands}{os.pathsep}{os.environ['PATH']}"
        slurm = {"SLURM_JOB_ID": "41", "SLURM_JOB_NODELIST": "n[1-3]", "SLURM_CPUS_PER_TASK": "8"}
        self._environment = {**os.environ, "PATH": path, "LOG": str(self._log), "OPLSTM_HOME": str(folder), **slurm}

    def run(self, *, until: str | None = None, code: int = 0) -> tuple[int, list[str]]:
        """Run it; SIGTERM when the log has this word. How it ended, and what was called."""
        self._log.write_text("")
        command = ["bash", str(RECIPES / "slurm.sh"), "sine-lstm", "wide"]
        job = subprocess.Popen(command, env={**self._environment, "CODE": str(code)}, start_new_session=True)
        try:
            while until is not None and until not in self._log.read_text():
                assert job.poll() is None
                time.sleep(0.01)
            if until is not None:
                job.send_signal(signal.SIGTERM)
            return job.wait(30), self._log.read_text().splitlines()
        finally:
            if job.poll() is None:
                os.killpg(job.pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_slurm_job_starts_a_node_each_is_stopped_in_time_and_resumes_when_it_is_queued_again(tmp_path):
    slurm = Slurm(tmp_path)
    code, called = slurm.run(until="token 64 token")
    assert code == 1
    starts = {line for line in called if line.startswith("srun")}
    assert len(starts) == 3
    [head] = [line for line in starts if "--head" in line]
    assert "--nodelist=n1 ray start --block --temp-dir=/tmp/ray-41 --num-cpus=8 --num-gpus=0 --head" in head
    others = sorted(starts - {head})
    for node, line in zip(("n2", "n3"), others, strict=True):
        assert f"--nodelist={node} " in line
        assert line.endswith("--address=n1:20041")
    assert "oplstm sweep sine-lstm --name wide --ray-address n1:20041" in called
    assert called.count("ended") == 3, "a Ray is left behind"
    assert called.count("scontrol requeue 41") == 1

    code, called = slurm.run()
    assert (code, "oplstm resume wide --ray-address n1:20041" in called) == (0, True)
    assert called.count("ended") == 3
    assert not [line for line in called if "requeue" in line]
    code, called = slurm.run(code=1)  # failed work is not queued again: it would fail again
    assert (code, [line for line in called if "requeue" in line]) == (1, [])


def ignored(file: str) -> set[str]:
    """What a file of patterns leaves out, as from the top of the checkout."""
    lines = [line.strip() for line in (ROOT / file).read_text().splitlines()]
    return {line.removeprefix("**/").strip("/") for line in lines if line and not line.startswith("#")}


def test_no_home_dataset_or_environment_gets_into_an_image():
    """What git leaves out the image does too; of git itself the image needs the commit."""
    assert ignored(".gitignore") <= ignored(".dockerignore")
    assert "oplstm-home" in ignored(".dockerignore")
    assert not {".git", ".git*"} & ignored(".dockerignore")


def test_the_verbs_of_the_recipes_are_ours():
    texts = [(RECIPES / "slurm.sh").read_text(), ray_job()["spec"]["entrypoint"]]
    found = [match for text in texts for match in re.findall(r"oplstm ((?:sweep|resume)[^;&\n]*)", text)]
    assert len(found) == 4
    assert [word for each in found for word in unknown_words(["oplstm", *shlex.split(each)], main)] == []


def ray_job() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((RECIPES / "rayjob.yaml").read_text())
    return found


def test_a_ray_job_has_the_fields_that_kuberay_wants():
    """https://ray-project.github.io/kuberay/reference/api: RayJob, RayJobSpec, RayClusterSpec."""
    job = ray_job()
    assert job.keys() == {"apiVersion", "kind", "metadata", "spec"}
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", job["metadata"]["name"])
    spec, cluster = job["spec"], job["spec"]["rayClusterSpec"]
    assert spec.keys() <= {
        "entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished", "rayClusterSpec",
    }  # fmt: skip
    command = shlex.split(spec["entrypoint"])
    assert command[:2] == ["sh", "-c"]
    assert len(command) == 3
    subprocess.run(["sh", "-n", "-c", command[2]], check=True)
    assert cluster.keys() == {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"}
    assert cluster["authOptions"] == {"mode": "token"}
    assert f"ray=={cluster['rayVersion']}" in (ROOT / "constraints.txt").read_text().splitlines()
    home = re.search(r"OPLSTM_HOME=(\S+)", (RECIPES / "Dockerfile").read_text())[1]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        assert all(type(value) is str for value in group["rayStartParams"].values())
        pod = group["template"]["spec"]
        [container] = pod["containers"]
        assert container.keys() >= {"name", "image", "resources", "volumeMounts"}
        assert container["resources"]["limits"] == container["resources"]["requests"]
        [mount], [volume] = container["volumeMounts"], pod["volumes"]
        assert (mount["mountPath"], mount["name"]) == (home, volume["name"])
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
        assert group["groupName"]


def test_the_image_installs_what_was_tested_together():
    lines = (RECIPES / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    assert {name for name, _ in steps} <= {"FROM", "ARG", "RUN", "WORKDIR", "COPY", "USER", "ENV", "VOLUME", "CMD"}
    assert steps[0][0] == "FROM"
    python = re.fullmatch(r"python:([\d.]+)-slim", steps[0][1])[1]
    wanted = re.search(r'requires-python = "(.*)"', (ROOT / "pyproject.toml").read_text())[1]
    assert python in SpecifierSet(wanted)
    runs = [command for name, command in steps if name == "RUN"]
    for command in runs:
        subprocess.run(["sh", "-n", "-c", command], check=True)
    installs = [part for command in runs for part in command.split("&&") if "pip install" in part]
    assert installs
    assert all("-c constraints.txt" in part for part in installs)
    order = [name if name != "RUN" else "pip" if "pip install" in rest else "RUN" for name, rest in steps]
    assert order.index("COPY") < order.index("pip") < order.index("USER"), "what is run is not root's"


@pytest.mark.parametrize("script", sorted(path.name for path in RECIPES.glob("*.sh")))
def test_scripts_are_bash(script):
    subprocess.run(["bash", "-n", str(RECIPES / script)], check=True)
