"""What the program costs, measured on the machine it runs on: ``python -m tests.benchmark``."""
