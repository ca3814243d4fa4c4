"""What a shell offers behind `oplstm`: asked of real ones, which have read the script that `completion` prints."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from jobs.jobfile.shipped import shipped_jobs
from tests.conftest import ROOT
from tests.jobs.cli.test_cli import VERBS
from tests.jobs.cli.verbs import answer, run
from tests.jobs.formula_training import job, new_sweep

ASK_BASH = """
eval "$(oplstm completion bash)"
complete -p oplstm
compopt() { :; }
for line in "$@"; do
    IFS=' ' read -ra COMP_WORDS <<< "$line"
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
    _oplstm_completion oplstm
    IFS=' '; echo "${COMPREPLY[*]}"
done
"""
ASK_ZSH = """
autoload -U compinit && compinit -u -D
eval "$(oplstm completion zsh)"
print -r -- $_comps[oplstm]
compadd() { print -rn -- "${completions[*]} " }
_describe() { print -rn -- "${completions_with_descriptions[@]%%:*}" "" }
for line in "$@"; do
    words=(${(s: :)line}) CURRENT=${#words}
    _oplstm_completion
    print
done
"""
ASK_FISH = r"""
oplstm completion fish | source
complete -c oplstm | string match -q '*_oplstm_completion*'; and echo _oplstm_completion
for line in $argv
    complete -C $line | string replace -r '\t.*' '' | string join ' '
end
"""
SHELLS = {
    "bash": (["bash", "-c", ASK_BASH, "bash"], "complete -o nosort -F _oplstm_completion oplstm"),
    "zsh": (["zsh", "-f", "-c", ASK_ZSH, "zsh"], "_oplstm_completion"),
    "fish": (["fish", "--no-config", "-c", ASK_FISH], "_oplstm_completion"),
}
"""How each is asked, and what it says of the script."""


@pytest.fixture
def sweeps(home, small_sweep_files):
    new_sweep(home / "sweeps" / "sine-first", job())
    new_sweep(home / "sweeps" / "sine-second", job())
    return home / "sweeps"


@pytest.fixture
def small_sweep_files(home, trained_once):
    shutil.copytree(trained_once.path, home / "sweeps" / "small")


@pytest.fixture
def program(tmp_path):
    """`oplstm` on a PATH: this checkout's."""
    path = tmp_path / "bin" / "oplstm"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\nfrom jobs.cli.main import main\nmain()\n")
    path.chmod(0o755)
    return path.parent


def offered(shell, program, home, *lines):
    """What a shell offers for the last word of each line."""
    ask, known = SHELLS[shell]
    path = f"{program}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "OPLSTM_HOME": str(home)}
    done = subprocess.run(
        [*ask, *(f"oplstm {line}" for line in lines)],
        cwd=home.parent, env=environment, capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    registered, *answers = done.stdout.splitlines()
    assert registered == known
    return [set(answer.split()) for answer in answers]


@pytest.mark.integration
@pytest.mark.parametrize("shell", SHELLS)
def test_a_real_shell_offers_verbs_options_jobs_sweeps_and_trials(shell, program, home, sweeps):
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    (home.parent / "own.yaml").write_text("")
    verbs, options, names, jobs, trials = offered(
        shell, program, home, "re", "resume --tr", "resume s", "sweep o", "evaluate small/"
    )
    assert verbs == {verb for verb in VERBS if verb.startswith("re")}
    assert options == {"--trust", "--tracking-uri"}
    assert names == {"sine-first", "sine-second", "small"}
    assert jobs == {"own.yaml", *(name for name in shipped_jobs() if name.startswith("o"))}
    assert trials == {f"small/trial-000{number}" for number in range(3)}


ANSWERS = {
    "figure tuning small si": {"sine-first", "sine-second"},
    "status ": {"sine-first", "sine-second", "small"},
    "evaluate sm": {"small/"},
    "evaluate ../": set(),
    "train demo --name s": set(),
    "rename small s": set(),
    "completion ": {"bash", "zsh", "fish"},
}


@pytest.mark.parametrize("words", ANSWERS)
def test_what_is_offered(words, home, sweeps, monkeypatch):
    assert asked(words, monkeypatch) == ANSWERS[words]


def test_jobs_are_those_that_ship_and_those_that_are_here(home, tmp_path, monkeypatch):
    assert asked("plan ", monkeypatch) == set(shipped_jobs())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "own.yaml").write_text("")
    assert asked("plan mine/", monkeypatch) == {"mine/own.yaml"}
    assert asked("plan mini", monkeypatch) == {name for name in shipped_jobs() if name.startswith("mini")}


def asked(words, monkeypatch):
    monkeypatch.setenv("COMP_WORDS", f"oplstm {words}")
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" "))))
    monkeypatch.setenv("_OPLSTM_COMPLETE", "bash_complete")
    lines = run().stdout.splitlines()
    return {line.partition(",")[2] for line in lines if line.startswith("plain,")}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_script(shell, home):
    script = answer("completion", shell)["script"]
    assert f"_OPLSTM_COMPLETE={shell}_complete" in script
    assert run("completion", shell).stdout.strip() == script.strip()


IMPORTED = """
import json, sys
from click.shell_completion import BashComplete
from jobs.cli.main import main
found = BashComplete(main, {}, "oplstm", "_OPLSTM_COMPLETE").get_completions(["status"], "")
print(json.dumps([[one.value for one in found], sorted(sys.modules)]))
"""


@pytest.mark.slow
def test_an_offer_imports_hardly_more_than_click(home, sweeps):
    done = subprocess.run([sys.executable, "-c", IMPORTED], cwd=ROOT, capture_output=True, text=True, check=True)
    offers, modules = json.loads(done.stdout)
    assert offers == ["sine-first", "sine-second", "small"]
    assert not {"torch", "scipy", "optuna", "ray", "mlflow", "rich", "numpy"} & set(modules)
