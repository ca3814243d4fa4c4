"""torchvision beside any build of torch: the operators are declared when, and only when, the import needs it."""

from types import SimpleNamespace

import pytest

from oplstm.episodes.datasets import torchvision_adapter
from oplstm.episodes.datasets.torchvision_adapter import torchvision
from oplstm.errors import RequestError

MISSING = RuntimeError("operator torchvision::nms does not exist")


@pytest.fixture
def declared(monkeypatch):
    """Operators declared, by libraries that are still alive; `outcomes` of the imports to come."""
    operators, libraries = [], []

    class Library:
        def __init__(self, *arguments):
            libraries.append(arguments)

        def define(self, schema):
            operators.append(schema)

    outcomes = []

    def import_module(name):
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return SimpleNamespace(name=name)

    monkeypatch.setattr(torchvision_adapter, "Library", Library)
    monkeypatch.setattr(torchvision_adapter, "import_module", import_module)
    monkeypatch.setattr(torchvision_adapter, "_declared", [])
    return SimpleNamespace(operators=operators, libraries=libraries, outcomes=outcomes)


def test_a_torchvision_that_fits_is_left_alone(declared):
    declared.outcomes += ["there"]
    assert torchvision("datasets").name == "torchvision.datasets"
    assert not declared.operators


def test_operators_are_declared_when_they_are_what_is_missing(declared):
    declared.outcomes += [MISSING, "there"]
    assert torchvision("transforms.v2").name == "torchvision.transforms.v2"
    schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    assert declared.operators == [f"nms{schema}", f"qnms{schema}"]
    assert declared.libraries == [("torchvision", "DEF")]
    assert len(torchvision_adapter._declared) == 1


def test_another_error_passes(declared):
    declared.outcomes += [RuntimeError("CUDA version mismatch")]
    with pytest.raises(RuntimeError, match="CUDA version mismatch"):
        torchvision()
    assert not declared.operators


def test_operators_are_declared_once(declared):
    declared.outcomes += [MISSING, MISSING]
    with pytest.raises(RuntimeError, match="nms"):
        torchvision()
    declared.outcomes += [MISSING]
    with pytest.raises(RuntimeError, match="nms"):
        torchvision()
    assert len(declared.libraries) == 1


def test_an_absent_torchvision_is_named(declared):
    declared.outcomes += [ModuleNotFoundError("No module named 'torchvision'", name="torchvision")]
    with pytest.raises(RequestError, match="torchvision, which is not installed"):
        torchvision("datasets")
    declared.outcomes += [ModuleNotFoundError("No module named 'requests'", name="requests")]
    with pytest.raises(ModuleNotFoundError, match="requests"):
        torchvision("datasets")


def test_the_installed_one_can_be_used():
    assert torchvision("datasets").Omniglot.zips_md5.keys() == {"images_background", "images_evaluation"}
    assert torchvision("transforms.v2").functional.resize
