"""What is read back from MLflow or shown in it: models, tables, figures, views, metric names."""
