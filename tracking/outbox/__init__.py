"""What MLflow is told, and how it gets there whatever happens."""
