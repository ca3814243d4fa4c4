"""Job files: every error at once and each with its place, `--set`, and the jobs that ship."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from jobs.jobfile.reading import load_job, parse_job
from jobs.jobfile.resolving import single_configuration
from jobs.jobfile.schema import Job, json_schema
from jobs.jobfile.shipped import shipped_jobs
from jobs.jobfile.template import TEMPLATE
from jobs.sweep.proposals import Proposals
from oplstm.errors import RequestError
from oplstm.training.device import Device
from oplstm.training.loop import Trainer
from oplstm.training.pack import Pack
from tests.conftest import ROOT

pytestmark = [
    pytest.mark.unit,
    pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning"),
]

JOB = """\
learner: lstm
benchmark: {name: sine, shots: 5}
space: sine-lstm
budget:
  tasks: 1000
  validate_every: 500
"""
POINT = "{hidden: 40, layers: 2, passes: 4, meta_batch_size: 4, lr: 0.004674, pool_cell: true, loss_on: last}"


@pytest.fixture(autouse=True)
def few_probes(monkeypatch):
    monkeypatch.setattr("jobs.jobfile.schema.PROBED_CONFIGURATIONS", 8)


def problems(text, *overrides, **top_level):
    with pytest.raises(RequestError) as caught:
        parse_job(text, "job.yaml", overrides, **top_level)
    return list(caught.value.problems)


def the_problem(text, *overrides, **top_level):
    [problem] = problems(text, *overrides, **top_level)
    return problem


def own_space(name, more=""):
    return JOB.replace("sine-lstm", f"tests.jobs.user_spaces:{name}") + more


def test_a_job_is_read_as_it_is_written():
    job = parse_job(JOB + "trials: 7\nresources: {cpus: 2, gpus: 0.5, pack: 3}\n", "job.yaml")
    assert (job.learner, job.space, job.trial_limit) == ("lstm", "sine-lstm", 7)
    assert (job.resources.cpus, job.resources.gpus, job.resources.pack) == (2, 0.5, 3)
    assert (job.seed, job.sampler.name, job.pruner.name, job.final.seeds) == (0, "RandomSampler", None, 3)


def test_all_errors_at_once_each_with_its_line():
    text = """\
learner: lsmt
benchmark: {name: cosine, shots: 0}
space: sine-ltsm
sampler: {name: RandomSampel}
pruner:
  name: MedianPrunner
trails: 3
fixed:
  meta_batch_size: 0
budget:
  tasks: -5
  validate_every: 0
  max_hours: soon
resources:
  cpus: 0
  gpus: 1.5
promotion: {leaders: 0}
final:
  budget: {updates: -1}
"""
    found = problems(text, "lr=-1", trials=0)
    assert sorted(found) == sorted(
        [
            "trails: unknown 'trails'; did you mean 'trials'? (job.yaml, line 7)",
            "trials: must be >= 1, got 0 (--trials 0)",
            "resources.cpus: must be >= 1, got 0 (job.yaml, line 15)",
            "promotion.leaders: must be >= 1, got 0 (job.yaml, line 17)",
            "sampler: unknown 'RandomSampel'; did you mean 'RandomSampler'? (job.yaml, line 4)",
            "pruner: unknown 'MedianPrunner'; did you mean 'MedianPruner'? (job.yaml, line 5)",
            "space: unknown 'sine-ltsm'; did you mean 'sine-lstm'? (or give your own as package.module:function) "
            "(job.yaml, line 3)",
            "resources.gpus: must be a whole number, or a fraction below 1, got 1.5 (job.yaml, line 16)",
            "learner: unknown 'lsmt'; did you mean 'lstm'? (job.yaml, line 1)",
            "benchmark.name: unknown 'cosine'; did you mean 'sine'? (job.yaml, line 2)",
            "budget.max_hours: must be a finite number, got 'soon' (job.yaml, line 13)",
            "budget.tasks: must be >= 1, got -5 (job.yaml, line 11)",
            "budget.validate_every: must be >= 1, got 0 (job.yaml, line 12)",
            "fixed.meta_batch_size: must be >= 1, got 0 (job.yaml, line 9)",
            "fixed.lr: must be > 0, got -1 (--set lr=-1)",
        ]
    )


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        (
            "learner: lstm",
            "learner: knn",
            "learner: unknown 'knn'; known: lstm, maml, op_lstm, protonet, sap, warp_maml (job.yaml, line 1)",
        ),
        ("shots: 5", "shots: 0", "benchmark.shots: must be >= 1, got 0 (job.yaml, line 2)"),
        ("shots: 5", "shots: 2.5", "benchmark.shots: must be a whole number, got 2.5 (job.yaml, line 2)"),
        ("shots: 5", "shot: 5", "benchmark.shot: unknown 'shot'; did you mean 'shots'? (job.yaml, line 2)"),
        ("name: sine", "name: [sine]", "benchmark.name: unknown \"['sine']\"; did you mean 'sine'? (job.yaml, line 2)"),
        ("tasks: 1000", "tasks: 0", "budget.tasks: must be >= 1, got 0 (job.yaml, line 5)"),
        ("tasks: 1000", "tasks: many", "budget.tasks: must be a whole number, got 'many' (job.yaml, line 5)"),
        (
            "tasks: 1000",
            "tasks: 1000\n  updates: 9",
            "budget.tasks: exactly one of tasks and updates must be given: a budget names its unit (job.yaml, line 5)",
        ),
        (
            "tasks: 1000",
            "tasks: 100",
            "budget.validate_every: must be at most the budget of 100 tasks: the run would never be validated, "
            "got 500 (job.yaml, line 6)",
        ),
        ("  validate_every: 500\n", "", "budget.validate_every: is required (job.yaml, line 4)"),
    ],
)
def test_one_wrong_value_is_one_error(old, new, wanted):
    assert JOB.count(old) == 1
    assert the_problem(JOB.replace(old, new)) == wanted


@pytest.mark.parametrize(
    ("more", "wanted"),
    [
        ("fixed: {passes: 0}", "fixed.passes: must be >= 1, got 0"),
        ("fixed: {lr: 0}", "fixed.lr: must be > 0, got 0"),
        ("fixed: {lr: .nan}", "fixed.lr: must be a finite number, got nan"),
        ("fixed: {lr: fast}", "fixed.lr: must be a finite number, got 'fast'"),
        ("fixed: {widths: []}", "fixed.widths: must be one or more widths >= 1, got []"),
        ("fixed: {widths: 40}", "fixed.widths: must be a list, got 40"),
        ("fixed: {pool_cell: 1}", "fixed.pool_cell: must be true or false, got 1"),
        ("fixed: {convention: code}", "fixed.convention: unknown 'code'; known: authors, paper"),
        ("trials: 0", "trials: must be >= 1, got 0"),
        ("trials: 2.0", "trials: must be a valid integer, got 2.0"),
        ("seed: -1", "seed: must be >= 0, got -1"),
        ("seeds: 0", "seeds: must be >= 1, got 0"),
        ("version: 2", "version: must be <= 1, got 2"),
        ("resources: {cpus: 0}", "resources.cpus: must be >= 1, got 0"),
        ("resources: {gpus: -0.5}", "resources.gpus: must be >= 0, got -0.5"),
        ("resources: {gpus: .inf}", "resources.gpus: must be a finite number, got inf"),
        ("resources: {gpus: true}", "resources.gpus: must be a valid number, got True"),
        ("resources: {pack: 0}", "resources.pack: must be a whole number >= 1 or auto, got 0"),
        ("resources: {pack: 'x'}", "resources.pack: must be a whole number >= 1 or auto, got 'x'"),
        ("resources: {pack: true}", "resources.pack: must be a whole number >= 1 or auto, got True"),
        ("resources: {retries: -1}", "resources.retries: must be >= 0, got -1"),
        ("resources: 2", "resources: must be keys and values, got 2"),
        ("pruner: {patience: -1}", "pruner.patience: must be >= 0, got -1"),
        ("pruner: MedianPruner", "pruner: must be keys and values, got 'MedianPruner'"),
        ("promotion: {tasks: 1}", "promotion.tasks: must be >= 2, got 1"),
        ("final: {seeds: 0}", "final.seeds: must be >= 1, got 0"),
        ("final: {gpus: 2.5}", "final.gpus: must be a whole number, or a fraction below 1, got 2.5"),
        ("final: {budget: {test_tasks: 0}}", "final.budget.test_tasks: must be >= 1: a final run is tested"),
        ("final: {budget: {updates: 999, tasks: 999}}", "final.budget.tasks: exactly one of tasks and updates"),
        ("sampler: {name: grid}", "sampler.name: grid cannot enumerate sine-lstm: lr is continuous"),
        ("sampler: {name: TPESampler, options: {n_start: 1}}", "sampler: TPESampler does not take these options:"),
        ("sampler: {name: TPESampler, options: {n_startup_trials: x}}", "sampler: TPESampler cannot propose from sine"),
        ("pruner: {name: ThresholdPruner}", "pruner: ThresholdPruner does not take these options: Either lower or"),
        ("enqueue: 3", "enqueue: must be a valid list, got 3"),
        ("enqueue: [3]", "enqueue.0: must be keys and values, got 3"),
        ("enqueue: [{hidden: 40}]", "enqueue.0: The value of the parameter 'layers' is not found."),
        (f"enqueue: [{POINT.replace('40', '41')}]", "enqueue.0: '41' not in (1, 3, 8, 20, 40)."),
        (f"enqueue: [{POINT.replace('layers: 2', 'layers: 9')}]", "enqueue.0: The value 9 of the parameter 'layers' "),
        (f"enqueue: [{POINT.replace('layers: 2', 'layers: two')}]", "enqueue.0: 'two' is not a valid type."),
        (f"enqueue: [{POINT.replace('}', ', hiden: 3}')}]", "enqueue.0.hiden: unknown 'hiden'; did you mean 'hidden'?"),
        ("1: 2", "1: Keys should be strings, got 1"),
        ("fixed: {1: 2}", "fixed.1: must be a valid string, got 1"),
        ("learner: op_lstm", "learner: is given twice, in lines 1 and 7"),
    ],
)
def test_a_wrong_line_is_named(more, wanted):
    found = problems(JOB + more + "\n")
    assert found[0].startswith(wanted)
    assert found[0].endswith("(job.yaml, line 7)")
    assert len(found) == 1 or more.startswith("learner")


def test_sections_of_the_wrong_shape_do_not_hide_the_other_errors():
    found = problems("learner: 3\nbenchmark: sine\nbudget: 100\nspace: nowhere\nenqueue: [4]\nfixed: {2: 3}\n")
    assert [problem.partition(":")[0] for problem in found] == [
        *("learner", "benchmark", "fixed.2", "enqueue.0", "budget", "space"),
    ]
    found = problems("space: nowhere\ntrials: -1\n")
    assert [problem.partition(":")[0] for problem in found] == ["learner", "benchmark", "trials", "budget", "space"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", "job.yaml: a job must be a mapping of keys to values, got NoneType"),
        ("# nothing but a comment\n", "job.yaml: a job must be a mapping of keys to values, got NoneType"),
        ("- learner: lstm\n", "job.yaml: a job must be a mapping of keys to values, got list"),
        ("lstm\n", "job.yaml: a job must be a mapping of keys to values, got str"),
        ("learner: [lstm\n", "job.yaml: not valid YAML: while parsing a flow sequence"),
        ("a: 1\n---\nb: 2\n", "job.yaml: not valid YAML: expected a single document"),
        ("? [a]\n: 1\n", "job.yaml: not valid YAML: while constructing a mapping"),
        ("a: !!python/object:os.system x\n", "job.yaml: not valid YAML: could not determine a constructor"),
        ("a: \x00\n", "job.yaml: not valid YAML: unacceptable character"),
        ("enqueue: &self [*self]\n", "job.yaml: not valid YAML: "),
    ],
)
def test_what_is_no_job_at_all_is_one_line(text, wanted):
    problem = the_problem(text)
    assert problem.startswith(wanted)
    assert "\n" not in problem


def test_references_that_lead_nowhere(tmp_path):
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(bytes(range(256)))
    with pytest.raises(RequestError, match=r"cannot read .*binary.yaml: .*utf-8"):
        load_job(str(binary))
    with pytest.raises(RequestError, match="it is neither a file nor a job that ships"):
        load_job(str(tmp_path))
    with pytest.raises(RequestError, match=r"no job 'sine-lsmt'.*did you mean 'sine-lstm'"):
        load_job("sine-lsmt")
    with pytest.raises(RequestError, match=r"jobs that ship: .*demo, .*sine-op-lstm"):
        load_job("")


def test_a_file_is_loaded_by_its_path_and_errors_carry_its_name(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(JOB)
    assert load_job(str(path)).space == "sine-lstm"
    path.write_text(JOB.replace("shots: 5", "shots: 0"))
    with pytest.raises(RequestError, match=r"\(mine.yaml, line 2\)"):
        load_job(str(path))


def test_set_takes_short_and_dotted_keys():
    job = parse_job(
        JOB,
        "job.yaml",
        ["shots=10", "lr=.001", "widths=[5, 5]", "convention=paper", "cpus=3", "resources.gpus=0.25", "trials=4",
         "pruner.name=MedianPruner", "final.budget.tasks=70", "final.budget.validate_every=7", "seed = 5"],
    )  # fmt: skip
    assert job.benchmark == {"name": "sine", "shots": 10}
    assert job.fixed == {"lr": 0.001, "widths": [5, 5], "convention": "paper"}
    assert (job.resources.cpus, job.resources.gpus, job.trials, job.seed) == (3, 0.25, 4, 5)
    assert job.pruner.name == "MedianPruner"
    assert job.final.budget == {"tasks": 70, "validate_every": 7}


def test_set_of_a_budget_in_the_other_unit_replaces_it():
    job = parse_job(JOB, "job.yaml", ["updates=50", "validate_every=10"])
    assert job.budget == {"updates": 50, "validate_every": 10}
    assert parse_job(JOB, "job.yaml", ["budget.tasks=2000"]).budget == {"tasks": 2000, "validate_every": 500}


def test_the_last_of_several_settings_wins_and_trials_of_the_command_line_win_over_the_file():
    assert parse_job(JOB, "job.yaml", ["shots=10", "shots=20"]).benchmark["shots"] == 20
    assert parse_job(JOB + "trials: 3\n", "job.yaml", trials=9).trials == 9
    assert parse_job(JOB + "trials: 3\n", "job.yaml", trials=None).trials == 3


@pytest.mark.parametrize(
    ("override", "wanted"),
    [
        ("shots=0", "benchmark.shots: must be >= 1, got 0 (--set shots=0)"),
        ("precision=half", "fixed.precision: must be one of float32, tf32, bf16, got 'half' (--set precision=half)"),
        ("passes=0", "fixed.passes: must be >= 1, got 0 (--set passes=0)"),
        ("cells=[5,1]", "--set: unknown 'cells'; known: "),
        ("lrr=1", "--set: unknown 'lrr'; did you mean 'lr'? (command line)"),
        ("lr", "--set: must be key=value, with a value in YAML, got 'lr' (command line)"),
        ("lr=[1", "--set: must be key=value, with a value in YAML, got 'lr=[1' (command line)"),
        ("lr=", "fixed.lr: must be a finite number, got None (--set lr=)"),
        ("fixed.hidden=3", "fixed.hidden: unknown 'hidden'; known: "),
        ("nowhere.at.all=1", "nowhere: unknown 'nowhere'; known: "),
        ("budget.taks=1", "budget.taks: unknown 'taks'; did you mean 'tasks'? (--set budget.taks=1)"),
        ("enqueue.0.lr=3", "enqueue: must be a valid list, got {'0': {'lr': 3}} (--set enqueue.0.lr=3)"),
    ],
)
def test_a_wrong_setting_is_named_by_its_text(override, wanted):
    found = the_problem(JOB, override)
    assert found.startswith(wanted)
    assert found.endswith((f"(--set {override})", "(command line)"))


def test_settings_of_a_malformed_section_do_not_crash():
    assert the_problem(JOB.replace("name: sine", "name: [sine]"), "shots=3").startswith("benchmark.name: ")
    assert the_problem(JOB.replace("learner: lstm", "learner: lsmt"), "cells=[1]").startswith("learner: unknown 'lsmt'")
    assert the_problem(JOB.replace("{name: sine, shots: 5}", "sine"), "benchmark.shots=3") == (
        "benchmark.name: unknown 'None'; known: cub, miniimagenet, omniglot, sine (job.yaml, line 2)"
    )


def test_fixed_values_win_over_the_space():
    job = parse_job(JOB + "fixed: {passes: 2, lr: 0.5}\n", "job.yaml")
    runs = [proposal.run for proposal in ask_some(job, 5)]
    assert {(run.hyperparameters.passes, run.lr) for run in runs} == {(2, 0.5)}
    assert len({run.hyperparameters.widths for run in runs}) > 1


def test_a_fixed_value_may_mend_what_the_space_gives():
    assert parse_job(own_space("bad_values", "fixed: {lr: 0.1, passes: 1}\n"), "job.yaml").fixed["lr"] == 0.1


def ask_some(job, count):
    proposals = Proposals(job)
    return [proposal for proposal in (proposals.ask() for _ in range(count)) if proposal is not None]


@pytest.mark.parametrize("name", ["rates", "six_cells", "mixed", "named_as_one_likes", "lists"])
def test_a_space_of_ones_own(name):
    job = parse_job(own_space(name), "job.yaml")
    assert len(ask_some(job, 2)) == 2


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("raises", ["space: {} raises KeyError: 'no such thing'"]),
        ("no_dictionary", ["space: {} raises TypeError: a space must return a dictionary of hyperparameters, got ["]),
        ("bad_keys", ["space: {} gives pases: unknown 'pases'; did you mean 'passes'?",
                      "space: {} gives width: unknown 'width'; did you mean 'widths'?"]),
        ("bad_values", ["space: {} gives passes: must be >= 1, got 0", "space: {} gives lr: must be > 0, got -1."]),
        ("without_rate", ["space: {} gives lr: is required"]),
        ("tuples", ["space: {} raises TypeError: choices must be text, numbers, lists, true, false or null, got "]),
        ("no_such", ["space: cannot import space '{}': "]),
    ],
)  # fmt: skip
def test_a_bad_space_of_ones_own_is_said_once(name, wanted):
    found = problems(own_space(name))
    assert len(found) == len(wanted)
    for problem, start in zip(found, wanted, strict=True):
        assert problem.startswith(start.format(f"tests.jobs.user_spaces:{name}"))
        assert problem.endswith("(job.yaml, line 3)")


def test_the_far_end_of_a_grid_is_checked_too(monkeypatch):
    monkeypatch.undo()
    assert "gives passes: must be >= 1" in the_problem(own_space("rarely_bad", "sampler: {name: grid}\n"))


def test_without_a_space_a_job_is_its_one_configuration():
    text = JOB.replace("space: sine-lstm\n", "fixed: {lr: 0.01, meta_batch_size: 4}\nseeds: 2\n")
    job = parse_job(text, "job.yaml")
    assert job.trial_limit == 2
    assert single_configuration(job) is job
    assert the_problem(text + "enqueue: [{lr: 1}]\n") == "enqueue: needs a space (job.yaml, line 8)"
    assert sorted(problems(text.replace("fixed: {lr: 0.01, meta_batch_size: 4}\n", ""))) == [
        "fixed.lr: is required (job.yaml)",
        "fixed.meta_batch_size: is required (job.yaml)",
    ]


def test_the_single_configuration_of_a_sweep_is_its_first_enqueued_point():
    job = parse_job(JOB + f"enqueue: [{POINT}]\nfixed: {{passes: 7}}\nsampler: {{name: TPESampler}}\n", "job.yaml")
    single = single_configuration(job)
    assert (single.space, single.enqueue, single.trial_limit) == (None, [], 1)
    run = ask_some(single, 9)[0].run
    assert (run.lr, run.hyperparameters.widths, run.hyperparameters.passes) == (0.004674, (40, 40), 7)
    with pytest.raises(RequestError, match="no enqueued point"):
        single_configuration(parse_job(JOB, "job.yaml"))


class Ends:
    """Listens to a pack and keeps what it hears."""

    def __init__(self):
        self.points, self.ends = [], []

    def on_points(self, points):
        self.points += points
        return []

    def on_ends(self, ends):
        self.ends += ends

    def on_progress(self, update, runs):
        pass

    def should_stop(self):
        return False


SHORT = ("updates=3", "validate_every=2", "validation_tasks=4", "test_tasks=4")
ON_SINE = sorted(name for name in shipped_jobs() if load_job(name).benchmark["name"] == "sine")


@pytest.mark.parametrize("name", ON_SINE)
def test_a_job_that_ships_trains_its_first_configurations(name, tmp_path):
    trains_its_first(name, 3, tmp_path, Device())


def trains_its_first(name, configurations, tmp_path, device, settings=()):
    job = load_job(name, [*SHORT, *settings])
    for number, proposal in enumerate(ask_some(job, configurations)):
        heard, folder = Ends(), tmp_path / str(number)
        pack = Pack([proposal.run], ["run"], device)
        Trainer(pack, heard, folder / "pack", folder / "trials").train()
        assert [point.update for point in heard.points] == [0, 2]
        [end] = heard.ends
        assert (end.state, end.update) == ("complete", 3)
        assert torch.tensor(list(end.metrics.values())).isfinite().all()


@pytest.mark.parametrize("name", sorted(shipped_jobs()))
def test_a_job_that_ships_says_what_it_is_and_keeps_its_enqueued_points_first(name):
    job = load_job(name)
    assert job.description.endswith(".")
    first = ask_some(job, len(job.enqueue))
    assert [proposal.params for proposal in first] == job.enqueue
    assert parse_job(yaml.safe_dump(job.model_dump(mode="json")), "again.yaml") == job


def test_the_demo_tries_at_least_eight_configurations():
    assert load_job("demo").trials >= 8


def test_the_template_loads_and_says_the_defaults():
    job = parse_job(TEMPLATE, "job.yaml")
    for section in ("resources", "promotion", "final"):
        assert getattr(job, section) == Job.model_fields[section].default, section
    assert set(yaml.safe_load(TEMPLATE)) == set(Job.model_fields) - {"seeds"}
    assert job.sampler == Job.model_fields["sampler"].default


def test_the_schema_that_ships_is_that_of_the_code():
    path = ROOT / "jobs" / "jobfile" / "files" / "job.schema.json"
    assert path.read_text() == json_schema(), "write it anew with jobs.jobfile.schema.json_schema()"


def test_the_schema_accepts_what_ships_and_refuses_an_unknown_key():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(json_schema())
    for text in [*shipped_jobs().values(), TEMPLATE]:
        jsonschema.validate(yaml.safe_load(text), schema)
        first_line = text.partition("\n")[0]
        assert not first_line.startswith("# yaml-language-server") or Path(first_line.partition("=")[2]).name in (
            path.name for path in (ROOT / "jobs" / "jobfile" / "files").iterdir()
        )
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(JOB + "trails: 3\n"), schema)
