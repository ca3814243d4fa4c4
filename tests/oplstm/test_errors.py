"""How errors name values and exceptions: in a line of bounded length, whatever they are."""

import pytest

from oplstm.errors import LONGEST_LINE, LONGEST_VALUE, message, name_of, one_line, quoted, shortened, shown

pytestmark = pytest.mark.timeout(20)


class Broken:
    def __repr__(self):
        raise RuntimeError("no repr")

    __str__ = __repr__


class BrokenError(Exception):
    def __str__(self):
        raise RuntimeError("no str")


@pytest.mark.parametrize("value", [3, -1.5, "text", "it's", [1, 2], (1,), {"b": 1, "a": 2}, None, True, "a\nb", b"x"])
def test_a_short_value_is_its_repr(value):
    assert shown(value) == repr(value)


@pytest.mark.slow
@pytest.mark.parametrize(
    "value",
    ["x" * 10**7, [0] * 10**7, tuple(range(10**6)), b"x" * 10**7, {n: n for n in range(10**5)}, [["x" * 9**7]]],
    ids=["text", "list", "tuple", "bytes", "dictionary", "nested"],
)
def test_a_long_value_is_its_beginning(value):
    text = shown(value)
    assert len(text) <= LONGEST_VALUE
    assert text.startswith(repr(value)[:90])
    assert text.endswith("...")


def test_a_value_that_cannot_be_shown_is_its_type():
    for value, name in ((10**5000, "int"), ([10**5000], "list"), (Broken(), "Broken")):
        assert shown(value) == f"a value of type {name} that cannot be shown"


def test_of_a_long_value_only_the_beginning_is_looked_at():
    assert shown([0] * 200 + [Broken()]).startswith("[0, 0, ")


def test_names():
    assert name_of("lstm") == "lstm"
    assert name_of(["sine"]) == "['sine']"
    assert name_of(10**5000).startswith("a value of type int")
    assert quoted("a key") == "a key"
    assert quoted("a\x1bkey") == r"'a\x1bkey'"
    assert quoted("k" * 101) == shown("k" * 101)
    assert shortened("abc", 3) == "abc"
    assert shortened("abcdef", 5) == "ab..."


@pytest.mark.parametrize(
    ("error", "line", "words"),
    [
        (ValueError("why not"), "ValueError: why not", "why not"),
        (ValueError("two\n  lines"), "ValueError: two lines", "two lines"),
        (KeyError("k"), "KeyError: 'k'", "'k'"),
        (ValueError(), "ValueError", "ValueError"),
        (ValueError(" \n"), "ValueError", "ValueError"),
        (BrokenError("x"), "BrokenError", "BrokenError"),
    ],
)
def test_an_exception_is_one_line_and_never_nothing(error, line, words):
    assert one_line(error) == line
    assert message(error) == words
    assert len(one_line(ValueError("x" * 10**6))) == len(message(ValueError("x" * 10**6))) == LONGEST_LINE
