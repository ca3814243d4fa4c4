"""Spaces by name: those that ship, and a user's own."""

import sys

import pytest

from search_spaces.spaces import SPACES, find_space


def test_spaces_that_ship_are_found_by_name():
    assert find_space("sine-demo") is SPACES["sine-demo"]


def test_an_unknown_space_names_the_nearest():
    with pytest.raises(ValueError, match=r"unknown 'sine-ltsm'; did you mean 'sine-lstm'\?.*package.module:function"):
        find_space("sine-ltsm")


def test_a_space_of_ones_own_is_imported():
    assert find_space("search_spaces.sine:lstm") is SPACES["sine-lstm"]


def test_a_module_in_the_current_folder_can_be_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_own_spaces.py").write_text("def space(trial):\n    return {'lr': 0.5}\n")
    assert find_space("my_own_spaces:space")(None) == {"lr": 0.5}
    del sys.modules["my_own_spaces"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module:space", "No module named 'no_such_module'"),
        ("search_spaces.sine:no_such", "no_such"),
        ("search_spaces.sine:", "cannot import space"),
        (":lstm", "cannot import space"),
        ("search_spaces.sine:Any.x", "Any.x"),
        ("search_spaces.spaces:SPACES", "must be a function"),
        ("broken_space_module:space", "cannot import space 'broken_space_module:space': RuntimeError: it broke"),
        ("wordless_space_module:space", "cannot import space 'wordless_space_module:space': RuntimeError$"),
        ("leaving_space_module:space", "cannot import space 'leaving_space_module:space': SystemExit: 3"),
        (f"{'x' * 9999}:space", r"cannot import space 'x{50,100}\.\.\.: "),
    ],
)
def test_what_cannot_be_imported_says_why(name, message, tmp_path, monkeypatch):
    (tmp_path / "broken_space_module.py").write_text("raise RuntimeError('it broke')\n")
    (tmp_path / "wordless_space_module.py").write_text("raise RuntimeError\n")
    (tmp_path / "leaving_space_module.py").write_text("raise SystemExit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=message):
        find_space(name)
