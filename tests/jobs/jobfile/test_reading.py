"""Job files: every error at once and each with its place."""

import pytest

from jobs.jobfile.reading import load_job, parse_job
from jobs.jobfile.sections import Replicates
from oplstm.errors import RequestError
from tests.jobs.jobfile.job_texts import JOB, POINT, problems, the_problem

pytestmark = pytest.mark.filterwarnings("ignore:Choices for a categorical distribution:UserWarning")


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


def test_a_final_run_inherits_a_wrong_budget_without_saying_so_again():
    text = JOB + "  analyses: [update_similarity]\nfinal: {budget: {tasks: 9000}}\n"
    assert (
        the_problem(text) == "budget.analyses: update_similarity is an analysis of op_lstm, got lstm (job.yaml, line 7)"
    )


def test_no_text_is_no_space():
    problem = the_problem(JOB.replace("sine-lstm", '""'))
    assert problem.startswith("space: unknown ''; known: image-inner-steps, ")
    assert problem.endswith("(job.yaml, line 3)")


def test_replicates_may_be_none():
    for text, wanted in (("0", 0), ("null", None), ("{seeds: 3}", Replicates(seeds=3))):
        assert parse_job(f"{JOB}promotion: {{replicates: {text}}}\n", "job.yaml").promotion.replicates == wanted


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
        ("promotion: {replicates: {leaders: 1}}", "promotion.replicates.leaders: must be >= 2, got 1"),
        (
            "promotion: {replicates: {leader: 3}}",
            "promotion.replicates.leader: unknown 'leader'; did you mean 'leaders'?",
        ),
        ("promotion: {replicates: {foo: 3}}", "promotion.replicates.foo: unknown 'foo'; known: leaders, race, seeds"),
        ("promotion: {replicates: {Replicates: 3}}", "promotion.replicates.Replicates: unknown 'Replicates'; known"),
        ("Replicates: 1", "Replicates: unknown 'Replicates'; known: "),
        ("'[key]': 1", "[key]: unknown '[key]'; known: "),
        ("promotion: {replicates: {1: 2}}", "promotion.replicates.1: Keys should be strings, got 1"),
        ("promotion: {replicates: 1}", "promotion.replicates: must be keys and values, or 0 for none, got 1"),
        ("promotion: {replicates: false}", "promotion.replicates: must be keys and values, or 0 for none, got False"),
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
        (
            "final: {budget: {analyses: [update_similarity]}}",
            "final.budget.analyses: update_similarity is an analysis of op_lstm, got lstm",
        ),
        ("final: {budget: {updates: 999, tasks: 999}}", "final.budget.tasks: exactly one of tasks and updates"),
        ("sampler: {name: grid}", "sampler.name: grid cannot enumerate sine-lstm: lr is continuous"),
        ("sampler: {name: TPESampler, options: {n_start: 1}}", "sampler: TPESampler does not take these options:"),
        ("sampler: {name: TPESampler, options: {n_startup_trials: x}}", "sampler: TPESampler cannot propose from sine"),
        ("pruner: {name: ThresholdPruner}", "pruner: ThresholdPruner does not take these options: Either lower or"),
        ("enqueue: 3", "enqueue: must be a valid list, got 3"),
        ("enqueue: [3]", "enqueue.0: must be keys and values, got 3"),
        (f"enqueue: [{POINT.replace('layers: 2, ', '')}]", "enqueue.0.layers: is required, a whole number from 1 to 4"),
        (f"enqueue: [{POINT.replace('40', '41')}]", "enqueue.0.hidden: must be one of 1, 3, 8, 20, 40, got 41"),
        (
            f"enqueue: [{POINT.replace('layers: 2', 'layers: 9')}]",
            "enqueue.0.layers: must be a whole number from 1 to 4, g",
        ),
        (
            f"enqueue: [{POINT.replace('layers: 2', 'layers: two')}]",
            "enqueue.0.layers: must be a whole number from 1 to 4, ",
        ),
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
        ("", "job.yaml: is empty; oplstm init writes a commented job file"),
        ("# nothing but a comment\n", "job.yaml: is empty; oplstm init writes a commented job file"),
        ("- learner: lstm\n", "job.yaml: a job must be keys and values, got a list"),
        ("lstm\n", "job.yaml: a job must be keys and values, got 'lstm'"),
        ("learner: [lstm\n", "job.yaml: not valid YAML: while parsing a flow sequence"),
        ("a: 1\n---\nb: 2\n", "job.yaml: not valid YAML: expected a single document"),
        ("? [a]\n: 1\n", "job.yaml: not valid YAML: while constructing a mapping"),
        ("a: !!python/object:os.system x\n", "job.yaml: not valid YAML: 'python/object:os.system' is no type"),
        ("a: \x00\n", "job.yaml: not valid YAML: unacceptable character"),
        ("enqueue: &self [*self]\n", "job.yaml: not valid YAML: a value is part of itself (line 1, column 10)"),
    ],
)
def test_what_is_no_job_at_all_is_one_line_and_the_place(text, wanted):
    line, *place = the_problem(text).split("\n")
    assert line.startswith(wanted)
    if place:
        shown, caret = place
        assert shown.startswith("  ")
        assert caret.strip() == "^"
        if "<stream end>" not in line:  # which is on a line with nothing to show
            assert f"column {caret.index('^') - 1})" in line


def test_references_that_lead_nowhere(tmp_path):
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(bytes(range(256)))
    with pytest.raises(RequestError, match=r"cannot read .*binary.yaml: .*utf-8"):
        load_job(str(binary))
    with pytest.raises(RequestError, match=r"is a folder; did you mean .*binary.yaml\?"):
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
    with pytest.raises(RequestError, match=rf"\({path}, line 2\)"):
        load_job(str(path))
