"""The command line: one module a group of verbs. The only room that imports click and rich.

Exit codes: 0 the work asked for is complete, 1 it failed or was stopped before its end, 2 the request was wrong and
nothing was started. Ray, MLflow, Optuna and torch are imported by the verbs that need them: the others answer at once.
"""
