"""Which file of a source is which image of the dataset, and what is wrong when one is not there."""

import csv
import io
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from oplstm.episodes.datasets.class_lists import SPLITS, ClassList, ListedClass
from oplstm.episodes.datasets.members import Member
from oplstm.episodes.datasets.sources import PICKLES, Source, is_junk, pickle_refused
from oplstm.errors import RequestError

ILSVRC_NAME = re.compile(r"n[0-9]{8}_[0-9]+\.jpe?g", re.IGNORECASE)


@dataclass(frozen=True)
class Matched:
    """What a source holds of a dataset.

    Attributes:
        classes: Those that are there, in the order of the list.
        slots: Path of each image's file and the image's place in the stored array.
        strays: Paths of image files that are not listed and were left out.
    """

    classes: tuple[ListedClass, ...]
    slots: dict[str, int]
    strays: tuple[str, ...]


def some(names: Iterable[str], shown: int = 3) -> str:
    """The first few names, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def match(listed: ClassList, source: Source, where: Path, *, partial: bool) -> Matched:
    """Find every image of every class.

    Args:
        listed: What must be there.
        source: Where to look.
        where: The source's name in messages.
        partial: Whether whole classes may be absent.

    Raises:
        RequestError: One line that names the first kind of thing that is wrong: an image in the wrong folder or
            there twice, a missing class, a missing image, an image too many, a list file with other images.
    """
    members = [member for member in source.members() if not _skipped(member.path, listed)]
    _check_list_files(listed, members, source=source, where=where)
    owner = {image: a_class for a_class in listed.classes for image in a_class.images}
    found: dict[str, str] = {}
    strays: list[str] = []
    for member in members:
        stem, suffix = _split_name(member.path)
        if suffix not in listed.suffixes:
            continue
        if stem not in owner:
            strays.append(member.path)
            continue
        _check_folder(listed, owner[stem], path=member.path, where=where)
        if stem in found:
            raise RequestError(f"{where}: the image {stem} is there twice, as {found[stem]} and as {member.path}")
        found[stem] = member.path
    if not found:
        raise _nothing_found(listed, members, where)
    present = tuple(c for c in listed.classes if any(image in found for image in c.images))
    missing = sorted(listed.class_names - {c.name for c in present})
    if missing and not partial:
        raise RequestError(
            f"{where}: {len(missing)} of the {len(listed.classes)} classes of {listed.title} are missing "
            f"({some(missing)}); --partial imports what is there, as a partial dataset"
        )
    _check_images(listed, present, found=found, strays=strays, where=where)
    slots = {found[image]: i for i, image in enumerate(p for c in present for p in c.images)}
    return Matched(present, slots, tuple(sorted(strays)))


def _split_name(path: str) -> tuple[str, str]:
    stem, dot, suffix = path.rpartition("/")[2].rpartition(".")
    return stem, dot + suffix.lower()


def _skipped(path: str, listed: ClassList) -> bool:
    return is_junk(path) or not set(listed.ignored).isdisjoint(path.split("/"))


def _check_folder(listed: ClassList, owner: ListedClass, *, path: str, where: Path) -> None:
    """Refuse an image that lies in another class's or another split's folder."""
    folders = path.split("/")[:-1]
    inside = f"/{'/'.join(folders)}".endswith(f"/{owner.name}")
    if listed.nested and not inside:
        raise RequestError(f"{where}: {path} is listed as an image of {owner.name} and lies in another folder")
    if not listed.nested and not inside and folders and folders[-1] in listed.class_names:
        raise RequestError(f"{where}: {path} is an image of {owner.name} and lies in the folder of another class")
    split = next((folder for folder in reversed(folders) if folder in SPLITS), owner.split)
    if split != owner.split:
        raise RequestError(f"{where}: {path} lies in {split}, but {owner.name} is a class of {owner.split}")


def _class_of(listed: ClassList, path: str) -> str | None:
    """The class in whose folder a file lies, or whose name its own begins with."""
    parts = path.split("/")
    tries = ["/".join(parts[-3:-1]), "/".join(parts[-2:-1])] + ([] if listed.nested else [parts[-1][:9]])
    return next((name for name in tries if name in listed.class_names), None)


def _check_images(
    listed: ClassList, present: tuple[ListedClass, ...], *, found: dict[str, str], strays: list[str], where: Path
) -> None:
    """Refuse missing images and, unless strays are dropped, those too many."""
    beside: dict[str | None, list[str]] = defaultdict(list)
    for path in strays:
        beside[_class_of(listed, path)].append(path.rpartition("/")[2])
    for a_class in present:
        extra = beside.get(a_class.name, [])
        missing = [image for image in a_class.images if image not in found]
        if missing:
            instead = f"; not listed, but there: {some(extra)}{_foreign_names(listed, extra)}" if extra else ""
            raise RequestError(
                f"{where}: {len(missing)} of the {len(a_class.images)} images of the class {a_class.name} are "
                f"missing ({some(missing)}){instead}"
            )
        if extra and not listed.drops_strays:
            raise RequestError(
                f"{where}: the class {a_class.name} has {len(extra)} not listed beside its "
                f"{len(a_class.images)} images ({some(extra)}){_foreign_names(listed, extra)}"
            )


def _check_list_files(listed: ClassList, members: list[Member], *, source: Source, where: Path) -> None:
    """Refuse ``train.csv``, ``val.csv`` and ``test.csv`` that list other images than the split that ships."""
    names = {} if listed.nested else {f"{split}.csv": split for split in SPLITS}
    lists = {m.path: names[m.path.rpartition("/")[2]] for m in members if m.path.rpartition("/")[2] in names}
    if not lists:
        return
    for path, data in source.read(lists):
        split = lists[path]
        wanted = {(image, c.name) for c in listed.classes if c.split == split for image in c.images}
        try:
            rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
            given = {(_split_name(row["filename"])[0], row["label"]) for row in rows}
        except (KeyError, AttributeError, UnicodeDecodeError, csv.Error):
            raise RequestError(f"{where}: {path} is no list with the columns filename and label") from None
        if given != wanted:
            image, name = min(given ^ wanted)
            verb = "lists" if (image, name) in given else "does not list"
            raise RequestError(
                f"{where}: {path} is not the list of {listed.title}'s {split} classes: it {verb} {image} ({name})"
            )


def _foreign_names(listed: ClassList, names: list[str]) -> str:
    """What to do with images of miniImageNet that have the names of the ImageNet that they come from."""
    found = next((name for name in sorted(names) if ILSVRC_NAME.fullmatch(name)), None)
    if listed.name != "miniimagenet" or found is None:
        return ""
    wanted = listed.classes[0].images[0] + listed.suffixes[0]
    return f"; {found} is a name of ILSVRC-2012's own, wanted is such as {wanted}: docs/datasets.md says how to rename"


def _nothing_found(listed: ClassList, members: list[Member], where: Path) -> RequestError:
    pickled = [member.path for member in members if _split_name(member.path)[1] in PICKLES]
    if pickled:
        return pickle_refused(f"{where}: {some(sorted(pickled))}")
    packed = [member.path for member in members if _split_name(member.path)[1] in {".zip", ".tar", ".tgz", ".gz"}]
    hint = f"; it holds {some(sorted(packed))}: unpack that or name it" if packed else ""
    hint = hint or _foreign_names(listed, [member.path.rpartition("/")[2] for member in members])
    example = listed.classes[0]
    return RequestError(
        f"{where} holds no image of {listed.title}, such as "
        f"{example.name}/{example.images[0]}{listed.suffixes[0]}{hint}"
    )
