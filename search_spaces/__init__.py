"""Optuna define-by-run spaces, and the samplers and pruners a job may name."""
