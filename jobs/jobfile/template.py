"""The commented job file that ``oplstm init`` writes."""

TEMPLATE = """\
# A job of oplstm. Look at it with `oplstm plan job.yaml`, run it with `oplstm sweep job.yaml`.
version: 1
description: What this sweep is for.

plugins: []                    # code of your own that brings more of what follows: modules, or paths of .py files
learner: lstm                  # lstm or op_lstm
benchmark:
  name: sine                   # few-shot sine regression
  shots: 5                     # k, points in the support set
  queries: 50                  # points in the query set

# Hyperparameters that do not vary; they win over the space. `convention: authors` sets every option in which the
# authors' published code departs from the paper's equations (docs/equations.md).
fixed:
  support: batched             # or sequential

# One of the spaces that ship (sine-lstm, sine-lstm-sequential, sine-op-lstm, sine-demo), or your own
# Optuna define-by-run function as package.module:function.
space: sine-lstm
sampler:
  name: RandomSampler          # any sampler of Optuna by name, or grid
  options: {}
pruner:                        # any pruner of Optuna by name; leave it out to prune nothing
  name: MedianPruner
  options: {n_startup_trials: 8, n_warmup_steps: 15000}   # steps are in the budget's unit
  patience: 4                  # points without improvement before a run may be pruned
trials: 20
seed: 0
enqueue:                       # points of the space that are tried first
  - {hidden: 40, layers: 2, passes: 4, meta_batch_size: 4, lr: 0.004674, pool_cell: true, loss_on: last}

budget:
  tasks: 70000                 # or updates: a budget names its unit
  validate_every: 2500         # in the same unit
  validation_tasks: 1000
  test_tasks: 2000
  max_hours: 48

resources:                     # of one pack
  cpus: 1
  gpus: 0                      # a fraction shares a GPU
  pack: 1                      # runs of one shape trained side by side in one program; auto: as many as pay
  retries: 2                   # restarts after a crash

promotion:
  # replicates: {leaders: 5, seeds: 2}   # more seeds of the leaders first; by default from 10 completed trials on
  leaders: 5                   # without replicates, candidates that are re-scored on fresh validation tasks
  tasks: 4000

final:
  seeds: 3
  cpus: 1                      # a second thread gains nothing at these sizes
  budget: {}                   # keys that differ from the sweep's budget
"""
