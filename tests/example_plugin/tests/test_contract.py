"""The example keeps the contracts of oplstm: run it with ``python -m pytest`` from the folder above."""

import oplstm_reptile  # noqa: F401  registers what is tested, whether or not it is installed
import pytest
import torch
from draw_shapes import main as draw_shapes

from oplstm.episodes.datasets.importing import import_folders
from oplstm.testing import BenchmarkContract, DatasetContract, LearnerContract


class TestReptile(LearnerContract):
    learner = "reptile"
    benchmark = {"name": "waves", "shots": 3, "queries": 4}
    configurations = (
        {"base_widths": [6, 5], "passes": 2, "inner_lr": 0.05},
        {"base_widths": [6, 5], "passes": 3, "inner_lr": 0.02},
    )

    def reference(self, run, params, *, support, query_x):
        """Plain gradient descent, with autograd over torch.nn.functional."""
        x, y = support
        layers = len(run.hyperparameters.base_widths) + 1
        names = [name for name in params if name != "inner_lr"]
        weights = {name: params[name].clone() for name in names}

        def forward(weights, x):
            pairs = [[weights[name] for name in names[2 * i : 2 * i + 2]] for i in range(layers)]
            for i, pair in enumerate(pairs):
                w, b = sorted(pair, key=lambda one: -one.ndim)
                x = torch.nn.functional.linear(x, w, b)
                x = x.relu() if i < layers - 1 else x
            return x

        for _ in range(run.hyperparameters.passes):
            leaves = [weights[name].detach().requires_grad_() for name in names]
            with torch.enable_grad():
                loss = (forward(dict(zip(names, leaves, strict=True)), x) - y).square().mean()
                gradients = torch.autograd.grad(loss, leaves)
            weights = {n: w - params["inner_lr"] * g for n, w, g in zip(names, leaves, gradients, strict=True)}
        return forward(weights, query_x).detach()

    def test_its_meta_gradient_is_the_way_back_to_the_start(self):
        pack = self.pack([self.run()])
        learner, episode = pack.learner, self.episode(pack)
        params = {name: w.clone().requires_grad_() for name, w in pack.params(pack.state.weights).items()}
        fast = learner.adapt(params, episode)
        weights = [params[name] for name in fast.weights]
        found = torch.autograd.grad(learner.loss_beside(fast).mean(), weights)
        for (name, adapted), gradient in zip(fast.weights.items(), found, strict=True):
            torch.testing.assert_close(gradient[0], params[name][0].detach() - adapted[0].mean(0))


class TestWaves(BenchmarkContract):
    benchmark = {"name": "waves", "shots": 3, "queries": 4}


@pytest.fixture(scope="class")
def shapes(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    draw_shapes(folder / "pictures")
    import_folders("shapes", folder / "pictures", folder / "data", size=16, grey=True)
    request.cls.data = folder / "data"


@pytest.mark.usefixtures("shapes")
class TestShapes(DatasetContract):
    benchmark = {"name": "images", "dataset": "shapes", "size": 16, "grey": True, "ways": 2, "queries": 3}
