"""Importing from end to end: every layout, the same bytes each time, bounded memory, nothing left after a failure."""

import hashlib
import http.server
import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import warnings
import zipfile
from dataclasses import replace
from functools import partial as bind

import numpy as np
import pytest
from PIL import Image

from oplstm.episodes.datasets import importing
from oplstm.episodes.datasets.class_lists import DATASETS, ListedClass, class_list
from oplstm.episodes.datasets.decoding import Decoder, decoder_version
from oplstm.episodes.datasets.importing import download_omniglot, import_dataset
from oplstm.episodes.datasets.store import open_dataset, verify_dataset
from oplstm.episodes.datasets.torchvision_adapter import torchvision
from oplstm.errors import RequestError, WorkError
from tests.conftest import ROOT

from .made_up import as_folder, as_tar, as_zip, files, image, left_in, tiny

ARCHIVES = {"omniglot": ["images_background.zip", "images_evaluation.zip"], "cub": ["CUB_200_2011.tgz"]}


def imports(name, source, home, **options):
    return import_dataset(name, source, home, **{"listed": tiny(name)} | options)


def bytes_of(home):
    return {path: (home / path).read_bytes() for path in left_in(home) if (home / path).is_file()}


def without(found, words):
    return {path: data for path, data in found.items() if words not in path}


def official(name, folder):
    """The archives of a dataset as they are published, in a folder."""
    found = files(tiny(name))
    if name == "cub":
        return as_tar(found, folder / ARCHIVES[name][0]).parent
    for archive in ARCHIVES[name]:
        as_zip({path: data for path, data in found.items() if path.startswith(archive[:-4])}, folder / archive)
    return folder


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_is_imported(name, tmp_path):
    dataset = imports(name, as_folder(files(tiny(name)), tmp_path / "in"), tmp_path / "home")
    stems = [stem for a_class in tiny(name).classes for stem in a_class.images]
    decoder = Decoder(tiny(name))
    np.testing.assert_array_equal(dataset.pixels, [decoder(image(name, stem), stem) for stem in stems])
    assert dataset.class_names == tuple(a_class.name for a_class in tiny(name).classes)
    assert list(dataset.class_starts) == list(range(0, 19, 3))
    assert dict(dataset.splits) == {"train": (0, 1), "val": (2, 3), "test": (4, 5)}
    assert not dataset.partial and dataset.description["title"] == class_list(name).title
    assert dataset.description["licence"] == class_list(name).about["licence"]
    assert dataset.description["notes"] == []
    assert left_in(tmp_path / "home") == [name, f"{name}/dataset.json", f"{name}/pixels.npy"]


@pytest.mark.parametrize("name", DATASETS)
def test_the_bytes_depend_on_the_images_alone(name, tmp_path):
    """Not on the container, the order in it, the number of threads, the place or an earlier import."""
    found = files(tiny(name))
    shuffled = dict(random.Random(0).sample(list(found.items()), len(found)))
    sources = {
        "folder": as_folder(found, tmp_path / "in"),
        "zip": as_zip(shuffled, tmp_path / "a.zip", zipfile.ZIP_DEFLATED),
        "tar": as_tar(shuffled, tmp_path / "a.tar", "w"),
        "tgz": as_tar(shuffled, tmp_path / "a.tgz"),
    }
    if name in ARCHIVES:
        sources["official"] = official(name, tmp_path / "official")
    else:
        sources["flat"] = as_folder(files(tiny(name), flat=True), tmp_path / "flat")
    for number, (kind, source) in enumerate(sources.items()):
        imports(name, source, tmp_path / "homes" / kind, workers=1 + number)
    again = imports(name, sources["tgz"], tmp_path / "homes" / "folder")
    first, *others = (bytes_of(tmp_path / "homes" / kind) for kind in sources)
    assert all(other == first for other in others)
    assert str(tmp_path).encode() not in first[f"{name}/dataset.json"]
    assert again.digest == open_dataset(tmp_path / "homes" / "zip" / name).digest


def test_the_digest_covers_the_pixels_and_names_the_decoder(tmp_path, monkeypatch):
    found = files(tiny("omniglot"))
    one = imports("omniglot", as_folder(found, tmp_path / "in"), tmp_path / "one").digest
    path = next(iter(found))
    found[path] = image("omniglot", "another")
    other = imports("omniglot", as_folder(found, tmp_path / "in"), tmp_path / "two").digest
    assert one.endswith(f"; {decoder_version()}") and other.endswith(f"; {decoder_version()}")
    assert one != other
    monkeypatch.setattr(importing, "decoder_version", lambda: "Pillow 99")
    third = imports("omniglot", tmp_path / "in", tmp_path / "three").digest
    assert third == f"{other.partition(';')[0]}; Pillow 99"


def test_the_digest_is_sha256_of_definition_and_pixels(tmp_path):
    dataset = imports("cub", as_folder(files(tiny("cub")), tmp_path / "in"), tmp_path)
    definition = {
        "name": "cub",
        "shape": [18, 84, 84, 3],
        "class_names": list(dataset.class_names),
        "class_starts": dataset.class_starts.tolist(),
        "splits": {split: list(classes) for split, classes in dataset.splits.items()},
    }
    plain = json.dumps(definition, sort_keys=True).encode() + dataset.pixels.tobytes()
    assert dataset.digest.startswith(f"sha256:{hashlib.sha256(plain).hexdigest()};")
    assert verify_dataset(tmp_path / "cub").digest == dataset.digest


def test_a_partial_cub_says_so(tmp_path):
    classes = sorted(tiny("cub").classes, key=lambda a_class: a_class.name)
    found = files(tiny("cub"))
    for a_class in classes[4:]:
        found = without(found, a_class.name)
    found["CUB_200_2011/images/x_rgb.jpg"] = b"not even an image"
    source = as_folder(found, tmp_path / "in")
    with pytest.raises(RequestError, match=rf"2 of the 6 classes of CUB-200-2011 are missing \({classes[4].name}"):
        imports("cub", source, tmp_path / "home")
    dataset = imports("cub", source, tmp_path / "home", partial=True)
    assert dataset.partial and dataset.description["title"] == "CUB, first 4 classes"
    assert len(dataset.class_names) == 4 and len(dataset.pixels) == 12
    assert sorted(sum(dataset.splits.values(), ())) == [0, 1, 2, 3]
    assert dataset.description["notes"] == ["1 image files that CUB-200-2011 does not list were left out: x_rgb.jpg"]


def test_a_whole_dataset_is_not_partial_because_it_might_be(tmp_path):
    assert not imports("cub", official("cub", tmp_path / "in"), tmp_path, partial=True).partial


def test_progress_counts_the_images(tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "BATCH_IMAGES", 4)
    calls, threads = [], set()

    def on_progress(done, total):
        calls.append((done, total))
        threads.add(threading.current_thread())

    imports("cub", official("cub", tmp_path / "in"), tmp_path, on_progress=on_progress)
    assert calls == [(done, 18) for done in (4, 8, 12, 16, 18)]
    assert threads == {threading.current_thread()}


def test_batches_end_by_bytes_too(monkeypatch):
    monkeypatch.setattr(importing, "BATCH_BYTES", 10)
    batches = importing._batches((str(i), b"1234567") for i in range(5))
    assert [[name for name, _ in batch] for batch in batches] == [["0", "1"], ["2", "3"], ["4"]]


def test_few_batches_wait_in_memory(tmp_path, monkeypatch):
    """A reader that is quicker than the decoder is held back."""
    monkeypatch.setattr(importing, "BATCH_IMAGES", 1)
    source = as_folder(files(tiny("omniglot")), tmp_path / "in")
    read, decoded, ahead = 0, 0, []
    original = importing._batches

    def counted(items):
        nonlocal read
        for batch in original(items):
            read += 1
            ahead.append(read - decoded)
            yield batch

    def on_progress(done, total):
        nonlocal decoded
        decoded = done

    monkeypatch.setattr(importing, "_batches", counted)
    imports("omniglot", source, tmp_path / "home", workers=2, on_progress=on_progress)
    assert max(ahead) == 2 * 2 + 1


def test_an_unknown_dataset_is_refused(tmp_path):
    with pytest.raises(RequestError, match="unknown dataset 'cubs'; did you mean 'cub'"):
        import_dataset("cubs", tmp_path, tmp_path / "home")
    assert left_in(tmp_path) == []


BAD = {
    "a truncated image": (lambda data: data[: len(data) // 2], "is truncated, corrupt or no PNG image"),
    "a corrupt image": (lambda data: data[:60] + b"\xff" * 40 + data[100:], "is truncated, corrupt or no PNG image"),
    "a wrong size": (lambda data: image_of_size(28), "has 28 x 28 pixels, wanted 105 a side"),
    "another format": (lambda data: image("cub", "x"), "no PNG image"),
}


def image_of_size(side):
    file = io.BytesIO()
    Image.new("1", (side, side)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("before", [False, True], ids=["first import", "import again"])
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_image_is_named_and_nothing_is_left(kind, before, tmp_path):
    spoil, words = BAD[kind]
    found = files(tiny("omniglot"))
    home = tmp_path / "home"
    if before:
        imports("omniglot", as_folder(found, tmp_path / "good"), home)
    was = bytes_of(home)
    path = list(found)[13]
    found[path] = spoil(found[path])
    with pytest.raises(RequestError, match=words) as caught:
        imports("omniglot", as_folder(found, tmp_path / "in"), home)
    [line] = caught.value.problems
    assert str(tmp_path / "in") in line and path in line and "\n" not in line
    assert bytes_of(home) == was
    assert left_in(home) == (["omniglot", "omniglot/dataset.json", "omniglot/pixels.npy"] if before else [])


def hostile_zip(path, name, *, link=False, data=b"x", compression=zipfile.ZIP_STORED):
    found = {f"images_background/{key}": value for key, value in files(tiny("omniglot")).items()}
    as_zip(found, path, compression)
    info = zipfile.ZipInfo(name)
    info.compress_type = compression
    if link:
        info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(info, data)


def hostile_tar(path, **fields):
    as_tar(files(tiny("cub")), path, "w")
    with tarfile.open(path, "a") as archive:
        info = tarfile.TarInfo("CUB_200_2011/x")
        for field, value in fields.items():
            setattr(info, field, value)
        archive.addfile(info)


HOSTILE = {
    "absolute path": ("omniglot", bind(hostile_zip, name="/evil.png"), "absolute path"),
    "climbing path": ("omniglot", bind(hostile_zip, name="images_background/../../evil.png"), "climbs out"),
    "link": ("omniglot", bind(hostile_zip, name="x.png", link=True, data=b"/etc/passwd"), "link or a device"),
    "bomb": (
        "omniglot",
        bind(hostile_zip, name="x.png", data=bytes(2**23), compression=zipfile.ZIP_DEFLATED),
        "decompression bomb",
    ),
    "absolute path in a tar": ("cub", bind(hostile_tar, name="/evil.jpg"), "absolute path"),
    "climbing path in a tar": ("cub", bind(hostile_tar, name="CUB_200_2011/../../evil"), "climbs out"),
    "symbolic link in a tar": ("cub", bind(hostile_tar, type=tarfile.SYMTYPE, linkname="/etc"), "link or a device"),
    "hard link in a tar": ("cub", bind(hostile_tar, type=tarfile.LNKTYPE, linkname="/etc"), "link or a device"),
    "device in a tar": ("cub", bind(hostile_tar, type=tarfile.CHRTYPE), "link or a device"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(kind, tmp_path):
    name, make, words = HOSTILE[kind]
    source = tmp_path / "in" / ARCHIVES[name][0]
    source.parent.mkdir()
    make(source)
    for given in (source, source.parent):
        with pytest.raises(RequestError, match=words) as caught:
            imports(name, given, tmp_path / "home")
        assert len(caught.value.problems) == 1 and "\n" not in str(caught.value)
    assert left_in(tmp_path) == ["in", f"in/{source.name}"]


@pytest.mark.parametrize("name", ARCHIVES)
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_a_truncated_archive_is_refused_and_leaves_nothing(name, kept, tmp_path):
    source = official(name, tmp_path / "in") / ARCHIVES[name][0]
    source.write_bytes(source.read_bytes()[: int(source.stat().st_size * kept)])
    with pytest.raises(RequestError, match="truncated"):
        imports(name, source.parent, tmp_path / "home")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a bug")])
def test_an_interrupted_import_leaves_nothing(error, tmp_path):
    def on_progress(done, total):
        raise error

    with pytest.raises(type(error)):
        imports("omniglot", official("omniglot", tmp_path / "in"), tmp_path / "home", on_progress=on_progress)
    assert left_in(tmp_path / "home") == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("oplstm-decode")]


def test_a_source_that_shrinks_meanwhile_is_refused(tmp_path, monkeypatch):
    source = as_folder(files(tiny("omniglot")), tmp_path / "in")
    original = importing._batches
    monkeypatch.setattr(importing, "_batches", lambda items: list(original(items))[:-1])
    monkeypatch.setattr(importing, "BATCH_IMAGES", 4)
    with pytest.raises(RequestError, match="16 images instead of 18"):
        imports("omniglot", source, tmp_path / "home")
    assert left_in(tmp_path / "home") == []


def killed_after(images, source, home):
    """Import in another process, which kills itself on the way."""

    def on_progress(done, total):
        if done >= images:
            os.kill(os.getpid(), signal.SIGKILL)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads; the child starts its own
        process = os.fork()
    if process == 0:
        try:
            imports("omniglot", source, home, on_progress=on_progress)
        finally:
            os._exit(1)
    _, status = os.waitpid(process, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def test_a_killed_import_is_invisible_and_cleared_by_the_next(tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "BATCH_IMAGES", 4)
    source, home = official("omniglot", tmp_path / "in"), tmp_path / "home"
    assert killed_after(8, source, home)
    assert ".omniglot.importing/pixels.npy" in left_in(home), "the kill came too early or too late to show anything"
    with pytest.raises(RequestError, match="holds no imported dataset"):
        open_dataset(home / "omniglot")
    imports("omniglot", source, home)
    assert left_in(home) == ["omniglot", "omniglot/dataset.json", "omniglot/pixels.npy"]
    was = bytes_of(home)
    shutil.copytree(home / "omniglot", home / ".omniglot.importing")
    imports("omniglot", source, home)
    assert bytes_of(home) == was


MEASURED = """
import sys
from pathlib import Path
from oplstm.episodes.datasets.importing import import_dataset
from oplstm.episodes.datasets.store import open_dataset
from tests.oplstm.episodes.datasets.test_importing import large

def peak():
    fields = dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(fields["VmHWM"].split()[0]) // 1024

source, small, home = map(Path, sys.argv[1:])
import_dataset("miniimagenet", small, home / "first", listed=large(40), workers=2)  # whatever is loaded only once
Path("/proc/self/clear_refs").write_text("5")
before = peak()
dataset = import_dataset("miniimagenet", source, home, listed=large(4000), workers=2)
print(peak() - before, dataset.pixels.nbytes // 2**20, int(dataset.pixels[::500].sum()))
"""


def large(images):
    """A class list of many images; each is stored as 21 kB."""
    classes = [ListedClass("n01930112", "test", tuple(f"n01930112{i:08d}" for i in range(images)))]
    return replace(class_list("miniimagenet"), classes=tuple(classes))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_dataset(tmp_path):
    sources = []
    for images in (4000, 40):
        data = image("miniimagenet", "x")
        found = {f"test/n01930112/{stem}.jpg": data for stem in large(images).classes[0].images}
        sources.append(as_zip(found, tmp_path / f"{images}.zip"))
    command = [sys.executable, "-c", MEASURED, *sources, tmp_path / "home"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 0, result.stderr
    grown, stored, _ = map(int, result.stdout.split())
    assert stored == 80
    assert grown < 30, f"{grown} MiB more for {stored} MiB of pixels"


@pytest.fixture
def home_of_omniglot(tmp_path, monkeypatch):
    """Omniglot's public home, on this machine, with tiny archives; yields its folder."""
    public = official("omniglot", tmp_path / "public")
    handler = bind(http.server.SimpleHTTPRequestHandler, directory=str(public))
    monkeypatch.setattr(handler.func, "log_message", lambda *arguments: None)
    omniglot = torchvision("datasets").Omniglot
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setattr(omniglot, "download_url_prefix", f"http://127.0.0.1:{server.server_port}")
        digests = {
            name: hashlib.md5((public / f"{name}.zip").read_bytes(), usedforsecurity=False).hexdigest()
            for name in omniglot.zips_md5
        }
        monkeypatch.setattr(omniglot, "zips_md5", digests)
        yield public
        server.shutdown()


@pytest.mark.slow
def test_omniglot_is_downloaded_and_imported(home_of_omniglot, tmp_path):
    calls = []
    folder = download_omniglot(tmp_path / "down", lambda done, total: calls.append((done, total)))
    assert left_in(folder) == ARCHIVES["omniglot"]
    assert calls == [(0, 2), (1, 2), (2, 2)]
    assert len(imports("omniglot", folder, tmp_path / "home").pixels) == 18
    (home_of_omniglot / "images_background.zip").unlink()
    download_omniglot(folder)  # nothing to do


@pytest.mark.slow
def test_a_download_that_fails_leaves_what_was(home_of_omniglot, tmp_path):
    (tmp_path / "images_background.zip").write_bytes(b"another archive")
    (home_of_omniglot / "images_background.zip").write_bytes(b"not what it was")
    with pytest.raises(WorkError, match=r"images_background\.zip could not be downloaded to .*corrupted"):
        download_omniglot(tmp_path)
    (home_of_omniglot / "images_background.zip").unlink()
    with pytest.raises(WorkError, match=r"images_background\.zip could not be downloaded to .*404"):
        download_omniglot(tmp_path)
    assert (tmp_path / "images_background.zip").read_bytes() == b"another archive"
    assert [name for name in left_in(tmp_path) if not name.startswith("public")] == ["images_background.zip"]


@pytest.mark.slow
def test_a_download_that_hangs_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(importing, "DOWNLOAD_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setattr(torchvision("datasets").Omniglot, "download_url_prefix", url)
        with pytest.raises(WorkError, match=r"images_background\.zip could not be downloaded to .*timed out"):
            download_omniglot(tmp_path)
    assert socket.getdefaulttimeout() is None
    assert left_in(tmp_path) == []
