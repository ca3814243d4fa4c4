"""Warp-MAML (Section 5): MAML on Conv-4 whose gradients are preconditioned by warp layers between the blocks.

Flennerhag et al. (2020), "Meta-Learning with Warped Gradient Descent": gradient steps change the task layers alone,
and what the warp layers between them learn is to make these steps good ones.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from oplstm.configuration import Problems, positive
from oplstm.episodes.episode import Batch
from oplstm.episodes.losses import task_losses
from oplstm.learners.gradient_step import gradient_step, per_task
from oplstm.learners.learner import Learner
from oplstm.learners.signature import VARIES
from oplstm.nets.backbone import Backbone, feature_count, init_backbone
from oplstm.nets.conv import BLOCKS, KERNEL, conv2d, conv_block, max_pool
from oplstm.nets.linear import init_linear, linear
from oplstm.shape import Shape
from oplstm.tensors import Inputs, Params, PerTask, Predictions, Queries, Scalars

Fast = dict[str, Annotated[Tensor, Shape("R ...")]]
"""The task layers: adapted weights, with B after R, and those of the first block, without it if it is not adapted."""


class Steps(NamedTuple):
    """Where Warp-MAML stands: the number of steps done, and the task layers before and after the last of them."""

    done: int
    before: Fast
    after: Fast


WARPED = range(1, BLOCKS)
"""Blocks that a warp layer follows."""


@dataclass(frozen=True, kw_only=True)
class WarpMAMLConfig:
    """Hyperparameters of Warp-MAML. Defaults follow Flennerhag et al., ``authors`` the code behind Tables 3 and 4.

    Attributes:
        passes: T, gradient steps on the support set in meta-training; one pack has one T, as the last step differs.
        eval_passes: T in meta-validation and meta-test; None: as in training.
        inner_lr: Step size of the gradient steps.
        adapt_first_block: Whether the steps change the first block too, which no warp layer follows (authors: no).
        warp_init: Warp layers start as the ``identity``, or at ``zero`` (authors): then features start at zero, and
            what comes before the last warp layer gets its first gradients from rounding errors.
        objective: What trains the initial weights and the warp layers. ``warped``: the warp layers learn from the
            query loss after every step, through that step alone; the initial weights learn as in MAML, from the loss
            after the last step, through all of them. ``every_step`` (authors): as ``warped``, but the initial weights
            learn from the loss after every step, through all steps before it. ``unrolled``: both learn from the loss
            after the last step, through all of them.
        step_losses: Where every step's query loss is trained on, the ``mean`` over steps or their ``sum`` (authors).
        second_order: Backpropagate through the inner gradients; otherwise they count as constants.
    """

    passes: int = 5
    eval_passes: int | None = None
    inner_lr: float = field(default=0.1, metadata=VARIES)
    adapt_first_block: bool = True
    warp_init: Literal["identity", "zero"] = "identity"
    objective: Literal["warped", "every_step", "unrolled"] = "warped"
    step_losses: Literal["mean", "sum"] = "mean"
    second_order: bool = True

    backbone: ClassVar[Backbone] = "conv4"
    conventions: ClassVar[dict[str, dict[str, Any]]] = {
        "paper": {},
        "authors": {
            "adapt_first_block": False,
            "warp_init": "zero",
            "objective": "every_step",
            "step_losses": "sum",
        },
    }

    def check(self, problems: Problems) -> None:
        """Record every impossible value."""
        positive(problems, self, "passes", "eval_passes", "inner_lr")


class WarpMAML(Learner[WarpMAMLConfig, Steps, Fast]):
    """Conv-4 with a linear 3x3 convolution, the warp layer, after the max-pooling of all blocks but the first."""

    name = "warp_maml"
    config_class = WarpMAMLConfig

    def init(self, config: WarpMAMLConfig, generator: torch.Generator) -> dict[str, Tensor]:
        """Conv-4, ``head.weight``, ``head.bias``, and ``warp.l.weight``, ``warp.l.bias`` of each warp layer."""
        params = init_backbone("conv4", self.shape.x, generator)
        d_in = feature_count("conv4", self.shape.x)
        params["head.weight"], params["head.bias"] = init_linear(d_in, self.shape.d_y, generator)
        maps = len(params["conv.0.bias"])
        for block in WARPED:
            weight = torch.zeros(maps, maps, KERNEL, KERNEL)
            if config.warp_init == "identity":
                weight[:, :, KERNEL // 2, KERNEL // 2] = torch.eye(maps)
            params |= {f"warp.{block}.weight": weight, f"warp.{block}.bias": torch.zeros(maps)}
        return params

    def constants(self, config: WarpMAMLConfig) -> Scalars:
        """The step size."""
        return {"inner_lr": torch.tensor(config.inner_lr)}

    @property
    def loss_on_every_pass(self) -> bool:
        """Whether the warp layers learn from every step."""
        return self.config.objective != "unrolled"

    @property
    def sums_passes(self) -> bool:
        """Whether their losses are summed."""
        return self.config.step_losses == "sum"

    def begin(self, params: Params, support: Batch) -> Steps:
        """The initial task layers."""
        fast = {
            name: per_task(param, support.task_count) if self._adapted(name) else param
            for name, param in params.items()
            if name.startswith(("conv.", "head."))
        }
        return Steps(0, fast, fast)

    def one_pass(self, params: Params, support: Batch, state: Steps) -> Steps:
        """The task layers after one more gradient step on the mean loss of the whole support set."""
        done, before, after = state
        training, objective = torch.is_grad_enabled(), self.config.objective
        warp = {name: param for name, param in params.items() if name.startswith("warp.")}
        if training and objective != "unrolled" and done > 0:
            # the same numbers once more, with the initial weights alone behind them
            after = self._step(params, _detached(warp), fast=before, support=support)
        last = done + 1 == self.pass_count(self.config, training=training)
        start = _detached(after) if objective == "warped" and not last else after
        return Steps(done + 1, after, self._step(params, warp, fast=start, support=support))

    def fast(self, state: Steps) -> Fast:
        """The task layers after the last step."""
        return state.after

    def _adapted(self, name: str) -> bool:
        return self.config.adapt_first_block or not name.startswith("conv.0.")

    def _step(self, params: Params, warp: Params, *, fast: Fast, support: Batch) -> Fast:
        """``fast`` after one gradient step."""

        def support_loss(weights: Params) -> PerTask:
            logits = self._forward({**warp, **fast, **weights}, support.support_x)
            return task_losses(logits, support.support_y, self.shape.loss)

        adapted = {name: weight for name, weight in fast.items() if self._adapted(name)}
        return fast | gradient_step(support_loss, adapted, params["inner_lr"], second_order=self.config.second_order)

    def predict(self, params: Params, fast: Fast, query_x: Queries) -> Predictions:
        """Warped Conv-4 with its adapted weights."""
        return self._forward({**params, **fast}, query_x)

    def _forward(self, weights: Params, x: Inputs) -> Annotated[Tensor, Shape("R B M d_y")]:
        for block in range(BLOCKS):
            x = max_pool(conv_block(weights, block, x))
            if block in WARPED:
                x = conv2d(x, weights[f"warp.{block}.weight"], weights[f"warp.{block}.bias"])
        return linear(x.flatten(3), weights["head.weight"], weights["head.bias"])


def _detached(weights: Params) -> Fast:
    return {name: weight.detach() for name, weight in weights.items()}
