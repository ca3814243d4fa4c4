"""Omniglot in pairs of splits with the same test characters, whose alphabets occur in meta-training, or do not.

    python -m docs.studies.alphabets FOLDER_OF_THE_TWO_ZIPS OUT --splits 10

writes ``OUT/alphabets_00_seen.zip``, ``OUT/alphabets_00_unseen.zip`` and so on, each for
``oplstm data import ZIP --name alphabets_00_seen --size 28 --gray``.
"""

import argparse
import random
import zipfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

TEST_ALPHABETS = 20
"""Of 50: about 650 of the 1,623 characters."""
TEST_SHARE = 0.25
"""Of the characters of each, so that the rest is as many as can stand for others in meta-training."""
VALIDATION = 100
"""Characters of other alphabets."""
ARCHIVES = ("images_background.zip", "images_evaluation.zip")

Character = tuple[str, str]
"""Alphabet and character."""
Splits = dict[str, list[Character]]
"""Of ``train``, ``val`` and ``test``."""


def pair(characters: Sequence[Character], seed: int) -> tuple[Splits, Splits]:
    """Two splits with the same test and validation characters, and as many for meta-training.

    Args:
        characters: All there are.
        seed: Of the draw.

    Returns:
        One in which three quarters of the characters of the test alphabets are trained on, and one without any.
    """
    dice = random.Random(seed)
    of: dict[str, list[Character]] = defaultdict(list)
    for character in sorted(characters):
        of[character[0]].append(character)
    tested = set(dice.sample(sorted(of), TEST_ALPHABETS))
    test, relatives = [], []
    for alphabet in sorted(tested):
        shuffled = dice.sample(of[alphabet], len(of[alphabet]))
        count = round(TEST_SHARE * len(shuffled))
        test += shuffled[:count]
        relatives += shuffled[count:]
    others = [character for alphabet in sorted(of.keys() - tested) for character in of[alphabet]]
    dice.shuffle(others)
    validation, strangers = others[:VALIDATION], others[VALIDATION:]
    seen = relatives + strangers[: len(strangers) - len(relatives)]
    held_out = {"val": validation, "test": test}
    return {"train": seen, **held_out}, {"train": strangers, **held_out}


def pictures(folder: Path) -> dict[Character, list[tuple[str, bytes]]]:
    """The drawings of each character, as file names and PNGs, of the official archives in a folder."""
    found: dict[Character, list[tuple[str, bytes]]] = defaultdict(list)
    for archive in ARCHIVES:
        with zipfile.ZipFile(folder / archive) as opened:
            for name in sorted(opened.namelist()):
                if name.endswith(".png"):
                    _, alphabet, character, file = name.split("/")
                    found[alphabet, character].append((file, opened.read(name)))
    return found


def write(path: Path, splits: Splits, drawings: Mapping[Character, Sequence[tuple[str, bytes]]]) -> None:
    """A zip with a folder a split and a class."""
    with zipfile.ZipFile(path, "w") as archive:
        for split, characters in splits.items():
            for alphabet, character in characters:
                for file, png in drawings[alphabet, character]:
                    archive.writestr(f"{split}/{alphabet}-{character}/{file}", png)


def main() -> None:
    """Write the archives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("omniglot", type=Path, help="folder of the two official zips")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--splits", type=int, default=10, help="pairs of splits (10)")
    given = parser.parse_args()
    drawings = pictures(given.omniglot)
    given.out.mkdir(parents=True, exist_ok=True)
    for seed in range(given.splits):
        for kind, splits in zip(("seen", "unseen"), pair(list(drawings), seed), strict=True):
            write(given.out / f"alphabets_{seed:02d}_{kind}.zip", splits, drawings)


if __name__ == "__main__":
    main()
