"""The description of a run: what one author writes leaves alone what the others wrote."""

import pytest

from tracking.outbox.description import AUTHORS, DESCRIPTION, NOTE, described


def write(tags: dict[str, str], **told: str) -> dict[str, str]:
    """The tags after oplstm ("ours"), or the user ("note"), or somebody in the UI ("edited") has written."""
    if "edited" in told:
        return tags | {DESCRIPTION: told["edited"]}
    return tags | described(tags, {{"ours": DESCRIPTION, "note": NOTE}[author]: text for author, text in told.items()})


HISTORIES = [
    ([{"ours": "A"}], "A"),
    ([{"ours": "A"}, {"ours": "B"}], "B"),
    ([{"ours": "A"}, {"note": "mine"}, {"ours": "B"}], "B\n\nmine"),
    ([{"note": "mine"}, {"ours": "A"}, {"note": "other"}], "other\n\nA"),
    ([{"ours": "A"}, {"note": "mine"}, {"note": ""}], "A"),
    ([{"ours": "A"}, {"ours": ""}], ""),
    ([{"ours": "A"}, {"edited": "before A after"}, {"ours": "B"}], "before B after"),
    ([{"ours": "A"}, {"edited": "all new"}, {"ours": "B"}], "all new\n\nB"),
    ([{"edited": "A"}, {"ours": "A"}], "A"),
    ([{"ours": "A", "note": "mine"}, {"ours": "B"}], "B\n\nmine"),
]


@pytest.mark.parametrize(("history", "wanted"), HISTORIES)
def test_each_author_replaces_its_own_words_alone(history: list[dict[str, str]], wanted: str) -> None:
    tags: dict[str, str] = {}
    for told in history:
        tags = write(tags, **told)
    assert tags[DESCRIPTION] == wanted
    assert write(tags, **told)[DESCRIPTION] == wanted, "shipping again changes nothing"


def test_it_has_no_more_characters_than_mlflow_takes() -> None:
    assert len(described({}, dict.fromkeys(AUTHORS, "x" * 7_999 + "y"))[DESCRIPTION]) <= 8_000
    assert set(AUTHORS) == {DESCRIPTION, NOTE}
