"""The learners by name."""

from typing import Any

from oplstm.learners.learner import Learner
from oplstm.learners.lstm import LSTM
from oplstm.learners.maml import MAML
from oplstm.learners.op_lstm import OPLSTM
from oplstm.learners.protonet import ProtoNet
from oplstm.learners.sap import SAP
from oplstm.learners.warp_maml import WarpMAML

LEARNERS: dict[str, type[Learner[Any]]] = {cls.name: cls for cls in (LSTM, OPLSTM, MAML, ProtoNet, WarpMAML, SAP)}
