"""The learners by name."""

from typing import Any

from oplstm.learners.learner import Learner
from oplstm.learners.lstm import LSTM
from oplstm.learners.op_lstm import OPLSTM

LEARNERS: dict[str, type[Learner[Any]]] = {cls.name: cls for cls in (LSTM, OPLSTM)}
