"""Contracts that every learner, benchmark and dataset keeps, as classes of tests for whoever writes one.

A subclass whose name begins with ``Test`` is all that pytest needs::

    from oplstm.testing import LearnerContract

    class TestReptile(LearnerContract):
        learner = "reptile"
        configurations = ({"passes": 2}, {"passes": 3})

What ships is held to the same classes. They need the standard library, what oplstm itself imports, and pytest's
``tmp_path``; pytest itself is not imported.
"""

from oplstm.testing.benchmark import BenchmarkContract, DatasetContract
from oplstm.testing.learner import LearnerContract

__all__ = ["BenchmarkContract", "DatasetContract", "LearnerContract"]
