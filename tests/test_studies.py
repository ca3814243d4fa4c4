"""The experiments behind docs/published.md: that their data are what they are called."""

from collections import Counter

from docs.studies.alphabets import TEST_ALPHABETS, VALIDATION, pair

CHARACTERS = [(f"alphabet{a:02d}", f"character{c:02d}") for a in range(50) for c in range(14 + a % 30)]


def test_a_pair_of_splits_differs_in_the_alphabets_of_meta_training_alone():
    seen, unseen = pair(CHARACTERS, 3)
    assert seen["test"] == unseen["test"] and seen["val"] == unseen["val"]
    tested = Counter(alphabet for alphabet, _ in seen["test"])
    assert len(tested) == TEST_ALPHABETS and len(seen["val"]) == VALIDATION
    assert not tested.keys() & {alphabet for alphabet, _ in unseen["train"] + unseen["val"]}
    assert tested.keys() <= {alphabet for alphabet, _ in seen["train"]}
    for splits in (seen, unseen):
        everywhere = [character for part in splits.values() for character in part]
        assert len(everywhere) == len(set(everywhere)) and set(everywhere) <= set(CHARACTERS)
    assert len(seen["train"]) == len(unseen["train"])


def test_each_seed_is_another_pair_and_always_the_same():
    assert pair(CHARACTERS, 1) == pair(CHARACTERS[::-1], 1) != pair(CHARACTERS, 2)
