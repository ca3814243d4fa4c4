"""One meta-update of every run of a pack: its tasks, its gradients and the step."""
