"""Real sweeps that are hurt at random and must end as if nothing had happened: ``python -m tests.chaos``."""
