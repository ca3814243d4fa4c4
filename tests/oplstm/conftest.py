"""Every test here checks the shapes in the signatures that it passes through."""

import pytest

from tests.oplstm.shape_check import installed


@pytest.fixture(autouse=True, scope="session")
def shapes_checked():
    with installed() as functions:
        yield functions
