"""MLflow: the server, the runs, the outbox, the registry, tables and figures."""
