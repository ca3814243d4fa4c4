"""Meta-training, meta-validation, model selection and checkpoints for a pack of R runs."""
