"""The learners by name."""

from typing import TYPE_CHECKING

from oplstm.registry import Registry

if TYPE_CHECKING:  # it needs torch
    from oplstm.learners.learner import AnyLearner

LEARNERS: Registry[type["AnyLearner"]] = Registry(
    "learner",
    "oplstm.learners",
    {
        "lstm": "oplstm.learners.lstm:LSTM",
        "op_lstm": "oplstm.learners.op_lstm:OPLSTM",
        "maml": "oplstm.learners.maml:MAML",
        "protonet": "oplstm.learners.protonet:ProtoNet",
        "warp_maml": "oplstm.learners.warp_maml:WarpMAML",
        "sap": "oplstm.learners.sap:SAP",
    },
)
"""What ships, and the entry points ``oplstm.learners`` of installed packages: subclasses of ``Learner``."""
