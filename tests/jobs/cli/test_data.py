"""``oplstm data`` on tiny made-up sources: answers, JSON, exit codes; and every bad source leaves nothing behind."""

import errno
import io
import json
import os
import pickle
import signal
import stat
import struct
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from jobs.cli.data import data
from jobs.cli.main import main
from oplstm.episodes.datasets import importing
from oplstm.episodes.datasets.class_lists import DATASETS, class_list
from oplstm.episodes.datasets.store import open_dataset
from oplstm.errors import WorkError
from tests.conftest import ROOT
from tests.oplstm.episodes.datasets.made_up import as_folder, as_tar, as_zip, files, left_in, tiny

LEFT = ["data", "data/omniglot", "data/omniglot/dataset.json", "data/omniglot/pixels.npy"]


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    """The command line settles signals for its whole process; here that is the tests' process. The lists are tiny."""
    monkeypatch.setattr(importing, "class_list", tiny)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """$OPLSTM_HOME, which does not exist yet."""
    monkeypatch.setenv("OPLSTM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def run(*arguments):
    return CliRunner().invoke(
        main, ["data", *map(str, arguments)], catch_exceptions=False, prog_name="oplstm", env={"COLUMNS": "80"}
    )


def answer(*arguments, code=0):
    """The one JSON document that a verb prints."""
    result = run(*arguments, "--json")
    assert (result.exit_code, result.stderr) == (code, "")
    return json.loads(result.stdout)


def complaint(*arguments, code=2):
    """The one line of complaint of a verb that does nothing else."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    [line] = result.stderr.splitlines()
    assert line.startswith("oplstm: ")
    return line.removeprefix("oplstm: ")


def bytes_below(folder):
    return {path: (folder / path).read_bytes() for path in left_in(folder) if (folder / path).is_file()}


@pytest.fixture
def source(tmp_path):
    return as_folder(files(tiny("omniglot")), tmp_path / "in")


def test_each_verb_takes_json_and_explains_itself():
    assert set(data.commands) == {"import", "status"}
    for name, command in data.commands.items():
        assert "--json" in {option for parameter in command.params for option in parameter.opts}
        assert run(name, "-h").exit_code == 0
    assert "import" in run("--help").stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", DATASETS)
def test_an_import_says_what_it_made_and_status_too(name, home, tmp_path):
    source = as_tar(files(tiny(name)), tmp_path / "in.tgz")
    made = answer("import", name, source)
    assert made.pop("seconds") >= 0
    assert answer("status") == [made]
    assert (made["name"], made["title"], made["problem"]) == (name, class_list(name).title, None)
    assert (made["images"], made["splits"]) == (18, {"train": 2, "val": 2, "test": 2})
    assert made["digest"] == open_dataset(home / "data" / name).digest
    again = run("import", name, source)
    assert (again.exit_code, again.stderr) == (0, "")
    size = "x".join(map(str, made["size"]))
    first, second = again.stdout.splitlines()
    assert first.startswith(f"imported {made['title']} in ")
    assert f"18 images of {size}, 6 classes (2 train, 2 val, 2 test)" in first and first.endswith(made["folder"])
    assert second == f"digest {made['digest']}"
    assert [one["digest"] for one in answer("status")] == [made["digest"]]


@pytest.mark.slow
def test_the_table_has_a_line_for_each_dataset(home, tmp_path):
    assert run("status").stdout.startswith(f"no dataset in {home / 'data'} yet; for one: oplstm data import omniglot ")
    assert answer("status") == [] and not home.exists()
    for name in DATASETS:
        assert run("import", name, as_folder(files(tiny(name)), tmp_path / name)).exit_code == 0
    shown = run("status")
    assert (shown.exit_code, shown.stderr) == (0, "")
    heading, _, *lines = shown.stdout.splitlines()
    assert heading.split() == "dataset train/val/test images size digest disk state".split()
    assert len(lines) == 3
    for line, entry in zip(lines, answer("status"), strict=True):
        size, short = "x".join(map(str, entry["size"])), entry["digest"].removeprefix("sha256:")[:8]
        title, *cells, _, unit, state = line.split()
        assert title == entry["title"] and unit in {"bytes", "kB"} and state == "ok"
        assert cells == ["2/2/2", "18", size, short]
    assert run("status", "--verify").stdout.count("verified") == 3


def test_a_partial_dataset_says_so_everywhere(home, tmp_path):
    last = max(a_class.name for a_class in tiny("cub").classes)
    found = {path: data for path, data in files(tiny("cub")).items() if last not in path}
    found["CUB_200_2011/images/x_rgb.jpg"] = b"not even an image"
    source = as_folder(found, tmp_path / "in")
    assert f"1 of the 6 classes of CUB-200-2011 are missing ({last})" in complaint("import", "cub", source)
    assert left_in(home) == []
    shown = run("import", "cub", source, "--partial")
    assert shown.stdout.startswith("imported CUB, first 5 classes in ")
    assert "does not list were left out: x_rgb.jpg" in shown.stdout.splitlines()[2]
    [entry] = answer("status")
    assert entry["partial"] and entry["title"] == "CUB, first 5 classes"
    table = run("status").stdout
    assert "CUB, first 5 classes" in table
    assert "cub: 1 image files that CUB-200-2011 does not list were left out: x_rgb.jpg\n" in table


REQUESTS = {
    "unknown dataset": (["cubs", "x"], "unknown dataset 'cubs'; did you mean 'cub'?"),
    "no place": (["omniglot"], "give the PATH of Omniglot's images, a folder or an archive, or --download to fetch th"),
    "no place for CUB": (["cub"], "give the PATH of CUB-200-2011's images, a folder or an archive; they are to be had"),
    "two places": (["omniglot", "x", "--download"], "give x or --download, not both"),
    "no download of CUB": (["cub", "--download"], "--download fetches omniglot only; CUB-200-2011 is to be had by ha"),
    "nor with a path": (["cub", "x", "--download"], "--download fetches omniglot only; CUB-200-2011 is to be had by "),
    "no such path": (["omniglot", "/no/such"], "/no/such does not exist"),
}


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_request_that_cannot_be_met_is_one_line(kind, home, tmp_path):
    arguments, wanted = REQUESTS[kind]
    assert complaint("import", *arguments).startswith(wanted)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(("name", "where"), [("cub", "www.vision.caltech.edu"), ("miniimagenet", "image-net.org")])
def test_who_may_not_download_learns_where_to_get_it(name, where, home):
    for arguments in ([name], [name, "--download"]):
        assert f"https://{where}" in complaint("import", *arguments)


def wrong_size(_):
    file = io.BytesIO()
    Image.new("1", (28, 28)).save(file, "PNG")
    return file.getvalue()


def spoiled(change):
    """Changes an image of the source."""

    def make(folder):
        path = sorted(folder.rglob("*.png"))[7]
        path.write_bytes(change(path.read_bytes()))

    return make


def without_a_class(folder):
    first = tiny("omniglot").classes[0]
    for image in first.images:
        next(folder.rglob(f"{image}.png")).unlink()


def only_a_pickle(folder):
    for path in folder.rglob("*.png"):
        path.unlink()
    (folder / "omniglot.pkl").write_bytes(pickle.dumps({}))


BAD = {
    "a missing class": (without_a_class, "1 of the 6 classes of Omniglot are missing"),
    "a missing image": (lambda folder: sorted(folder.rglob("*.png"))[7].unlink(), "1 of the 3 images of the class"),
    "an image too many": (
        lambda folder: sorted(folder.rglob("*.png"))[7].with_name("9999_01.png").touch(),
        "has 1 not listed beside its 3 images (9999_01.png)",
    ),
    "a corrupt image": (spoiled(lambda data: data[: len(data) // 2]), "is truncated, corrupt or no PNG image"),
    "a wrong size": (spoiled(wrong_size), "has 28 x 28 pixels, wanted 105 a side"),
    "a pickle": (only_a_pickle, "is a pickled distribution, which is never opened"),
}


@pytest.mark.parametrize("before", [False, True], ids=["first import", "import again"])
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_source_is_one_line_and_changes_nothing(kind, before, source, home):
    if before:
        assert run("import", "omniglot", source).exit_code == 0
    was = bytes_below(home)
    spoil, words = BAD[kind]
    spoil(source)
    line = complaint("import", "omniglot", source)
    assert words in line and str(source) in line
    assert bytes_below(home) == was
    assert [path for path in left_in(home) if path != "data"] == LEFT[1:] * before


def with_member(path, name, *, mode=0, content=b"x"):
    as_zip(files(tiny("omniglot")), path)
    info = zipfile.ZipInfo(name)
    info.external_attr, info.compress_type = mode << 16, zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, content)


def truncated(path):
    as_zip(files(tiny("omniglot")), path)
    path.write_bytes(path.read_bytes()[:-40])


def lying(path):
    """One of the images is 64 MiB of zeros that claim to be 1,000 bytes."""
    found = files(tiny("omniglot"))
    name = list(found)[-1]
    del found[name]
    as_zip(found, path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, bytes(2**26))
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 2**26), struct.pack("<I", 1000)))


HOSTILE = {
    "an absolute path": (lambda path: with_member(path, "/evil.png"), "absolute path"),
    "a climbing path": (lambda path: with_member(path, "a/../../evil.png"), "climbs out"),
    "a link": (lambda path: with_member(path, "x.png", mode=stat.S_IFLNK, content=b"/etc/passwd"), "link or a device"),
    "a bomb": (lambda path: with_member(path, "x.png", content=bytes(2**23)), "decompression bomb"),
    "a lying bomb": (lying, "is damaged"),
    "a truncated archive": (truncated, "truncated"),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_one_line_and_leaves_nothing(kind, home, tmp_path):
    make, words = HOSTILE[kind]
    make(tmp_path / "in.zip")
    assert words in complaint("import", "omniglot", tmp_path / "in.zip")
    assert [path for path in left_in(tmp_path) if path not in {"home", "home/data"}] == ["in.zip"]
    assert not Path("/evil.png").exists()


def test_a_home_that_cannot_be_written(source, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("OPLSTM_HOME", str(tmp_path / "file"))
    assert complaint("import", "omniglot", source).endswith("file/data cannot be written (Not a directory)")


def test_a_disk_that_fills_is_work_that_failed(source, home, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(importing, "write_description", full)
    assert "No space left" in complaint("import", "omniglot", source, code=1)
    assert left_in(home) == ["data"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing(number, source, home, monkeypatch):
    monkeypatch.setattr(importing, "write_description", lambda *_: signal.raise_signal(number))
    result = run("import", "omniglot", source)
    assert (result.exit_code, result.stdout, result.stderr.strip()) == (1, "", "Aborted!")
    assert left_in(home) == ["data"]


def test_a_terminal_shows_a_bar_with_images_per_second_and_time_left(source, home, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(importing, "BATCH_IMAGES", 1)
    result = run("import", "omniglot", source, "--json")
    assert json.loads(result.stdout)["images"] == 18
    assert "18/18" in result.stderr and "images/s" in result.stderr and "left" in result.stderr


@pytest.fixture
def downloads(tmp_path, monkeypatch):
    """The folder of temporary files of a stand-in for the download."""

    def fetch(folder, on_progress):
        for number, part in enumerate(("background", "evaluation")):
            on_progress(number, 2)
            found = {path: data for path, data in files(tiny("omniglot")).items() if part in path}
            as_zip(found, folder / f"images_{part}.zip")
        on_progress(2, 2)
        return folder

    monkeypatch.setattr(importing, "download_omniglot", fetch)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return tmp_path / "temporary"


def test_omniglot_is_downloaded_imported_and_cleared_up(downloads, home):
    result = run("import", "omniglot", "--download", "--json")
    assert json.loads(result.stdout)["images"] == 18
    assert result.stderr.splitlines() == ["downloading archive 1 of 2", "downloading archive 2 of 2"]
    assert left_in(home) == LEFT
    assert left_in(downloads) == []


def test_a_download_that_fails_is_work_that_failed(downloads, home, monkeypatch):
    def fail(folder, on_progress):
        (folder / "half").touch()
        raise WorkError("https://example.org/a.zip could not be downloaded")

    monkeypatch.setattr(importing, "download_omniglot", fail)
    assert complaint("import", "omniglot", "--download", code=1) == "https://example.org/a.zip could not be downloaded"
    assert left_in(downloads) == [] and not home.exists()


def test_status_finds_damage_and_verify_a_changed_pixel(source, home):
    run("import", "omniglot", source)
    pixels = home / "data" / "omniglot" / "pixels.npy"
    content = bytearray(pixels.read_bytes())
    content[-1] ^= 1
    pixels.write_bytes(content)
    assert answer("status")[0]["problem"] is None
    [entry] = answer("status", "--verify", code=1)
    assert "has changed since its import" in entry["problem"] and not entry["verified"]
    pixels.write_bytes(content[:-1])
    assert "is damaged" in answer("status", code=1)[0]["problem"]
    shown = run("status")
    assert shown.exit_code == 1
    table, _, problem = shown.stdout.partition("problem\n")
    assert table.splitlines()[-1].split()[:2] == ["omniglot", "?"]
    assert problem.startswith(f"omniglot: {home / 'data' / 'omniglot'} is damaged")
    assert problem.rstrip().endswith("import it again: oplstm data import omniglot PATH")


@pytest.mark.long
def test_the_real_omniglot_in_a_process_of_its_own(real_data, home):
    source = real_data / "omniglot"
    if not (source / "images_background.zip").exists():
        pytest.skip(f"OPLSTM_DATA has no omniglot/images_background.zip in {real_data}")
    done = subprocess.run(
        [sys.executable, "-m", "jobs.cli", "data", "import", "omniglot", source, "--json"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    made = json.loads(done.stdout)
    assert (made["classes"], made["images"]) == (1623, 32460)
    assert made["splits"] == {"train": 1028, "val": 172, "test": 423}
    assert done.stderr == ""


# A folder of one's own


@pytest.fixture
def own(tmp_path):
    for part, names in (("train", "ab"), ("val", "cd"), ("test", "ef")):
        for name in names:
            folder = tmp_path / "pictures" / part / name
            folder.mkdir(parents=True)
            for one in range(2):
                Image.new("RGB", (9, 9), (ord(name), one, 0)).save(folder / f"{one}.png")
    return tmp_path / "pictures"


def test_a_folder_of_ones_own_is_imported_under_a_name(own, home):
    entry = answer("import", own, "--name", "mine", "--size", 8, "--gray")
    assert (entry["title"], entry["size"], entry["images"]) == ("mine", [8, 8, 1], 12)
    assert answer("status", "--verify")[0]["verified"]
    last = run("import", own, "--name", "mine").stdout.splitlines()[-1]
    assert last == "in a job: benchmark: {name: images, dataset: mine, size: 84, grey: false, ways: 2, shots: 1}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pictures"], "pictures is none of omniglot, miniimagenet, cub; for a folder of your own give it a --name"),
        (["cub", "pictures", "--size", "8"], "--size, --gray and --split go with --name, for a folder of your own"),
        (["pictures", "more", "--name", "mine"], "--name goes with a folder of your own alone, without a second PATH, "
                                                 "--download, --partial"),
        (["pictures", "--name", "mine", "--split", "no.csv"], "no.csv cannot be read (No such file or directory)"),
        (["nowhere", "--name", "mine"], "nowhere does not exist"),
    ],
)  # fmt: skip
def test_a_request_about_a_folder_of_ones_own_that_cannot_be_is_refused(arguments, message, own, home, monkeypatch):
    monkeypatch.chdir(own.parent)
    assert complaint("import", *arguments) == message
    assert not home.exists()
