"""Ray Tune: sweeps and their coordinator, promotion, final runs and the command line."""

import os

# Libraries read these when they are imported, so they are set before any module of this package imports one.
for _name, _value in {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # else Tune, cleaning up after a cluster that was lost, starts another one
    "RAY_worker_niceness": "0",  # else the coordinator and the packs hardly move beside another user's work
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_MAX_PENDING_TRIALS_PG": "1000",  # else it starts its processes one after the other; PackSearcher limits it
    "MLFLOW_DISABLE_TELEMETRY": "true",
}.items():
    os.environ.setdefault(_name, _value)

# `ray start` guards a cluster with the token of its user, if there is one; a driver sends it only in this mode.
# expanduser, since Path.home() raises where HOME is not set and the user has no entry.
_token = os.path.join(os.path.expanduser("~"), ".ray", "auth_token")
if {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ) or os.path.isfile(_token):
    os.environ.setdefault("RAY_AUTH_MODE", "token")
