"""MLflow servers: the one that comes with oplstm, and how to talk to any."""
