"""Hostile and damaged archives are refused with one line each, and read in bounded memory."""

import gzip
import io
import stat
import struct
import tarfile
import tracemalloc
import zipfile
from contextlib import closing

import pytest

from oplstm.episodes.datasets import members, tar_source, zip_source
from oplstm.episodes.datasets.members import Member, safe_path
from oplstm.episodes.datasets.tar_source import TarSource
from oplstm.episodes.datasets.zip_source import ZipSource
from oplstm.errors import RequestError

from .made_up import as_tar, as_zip

PLAIN = {"a/1.png": b"one", "a/2.png": b"two" * 400, "b/3.png": b"", "b/4.png": bytes(512)}
BAD_NAMES = {
    "/etc/passwd": "absolute path",
    "../up.png": "climbs out",
    "a/../../up.png": "climbs out",
    "..": "climbs out",
    "a\\..\\up.png": "backslash",
    "C:/up.png": "absolute path",
    "a/\x1b[31mred.png": "control characters",
    "a/new\nline.png": "control characters",
    "a/\u202egnp.exe": "control characters",
    "a" * 2000: "2000 characters",
}


def read_all(source):
    with closing(source):
        found = source.members()
        return found, dict(source.read({member.path for member in found}))


def zip_of(path, *infos):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, data in infos:
            archive.writestr(info, data)
    return path


def tar_of(path, *infos, mode="w:gz", form=tarfile.PAX_FORMAT):
    with tarfile.open(path, mode, format=form) as archive:
        for info in infos:
            archive.addfile(info, io.BytesIO(bytes(max(info.size, 0))) if info.isreg() else None)
    return path


def tar_info(name, size=0, kind=tarfile.REGTYPE, link=""):
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = size, kind, link
    return info


def refused(source, words):
    with pytest.raises(RequestError, match=words) as caught:
        read_all(source())
    [line] = caught.value.problems
    assert "\n" not in line


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_members_of_a_tar(tmp_path, mode):
    found, contents = read_all(TarSource(as_tar(PLAIN, tmp_path / "a.tar", mode)))
    assert found == [Member(name, len(data)) for name, data in PLAIN.items()]
    assert contents == PLAIN


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_of_a_zip(tmp_path, compression):
    found, contents = read_all(ZipSource(as_zip(PLAIN, tmp_path / "a.zip", compression)))
    assert found == [Member(name, len(data)) for name, data in PLAIN.items()]
    assert contents == PLAIN


def test_only_what_is_wanted_is_read(tmp_path):
    for source in (ZipSource(as_zip(PLAIN, tmp_path / "a.zip")), TarSource(as_tar(PLAIN, tmp_path / "a.tar"))):
        with closing(source):
            source.members()
            assert dict(source.read({"a/2.png"})) == {"a/2.png": PLAIN["a/2.png"]}


def test_folders_are_no_members(tmp_path):
    found = read_all(TarSource(tar_of(tmp_path / "a.tar", tar_info("a", kind=tarfile.DIRTYPE), tar_info("a/1"))))
    assert found == ([Member("a/1", 0)], {"a/1": b""})
    found = read_all(ZipSource(as_zip({"a/": b"", "a/1": b""}, tmp_path / "a.zip")))
    assert found == ([Member("a/1", 0)], {"a/1": b""})


def test_harmless_names_are_made_plain(tmp_path):
    assert safe_path("./a//b/./c.png", tmp_path) == "a/b/c.png"
    assert safe_path("Blackfoot_(Canadian)/é.png", tmp_path) == "Blackfoot_(Canadian)/é.png"


@pytest.mark.parametrize("name", BAD_NAMES, ids=ascii)
def test_hostile_names_are_refused(tmp_path, name):
    refused(lambda: ZipSource(as_zip({name: b""}, tmp_path / "a.zip")), BAD_NAMES[name])
    refused(lambda: TarSource(as_tar({name: b""}, tmp_path / "a.tar")), BAD_NAMES[name])


def test_a_zero_byte_in_a_zip_name_is_refused(tmp_path):
    path = as_zip({"a/1.pngX.exe": b"one"}, tmp_path / "a.zip")
    path.write_bytes(path.read_bytes().replace(b"1.pngX.exe", b"1.png\0.exe"))
    refused(lambda: ZipSource(path), "control characters")


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE],
)
def test_links_and_devices_in_a_tar_are_refused(tmp_path, kind):
    path = tar_of(tmp_path / "a.tar", tar_info("a/1.png", kind=kind, link="/etc/passwd"))
    refused(lambda: TarSource(path), "'a/1.png' is a link or a device")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_in_a_zip_are_refused(tmp_path, kind):
    info = zipfile.ZipInfo("a/1.png")
    info.external_attr = (kind | 0o777) << 16
    refused(lambda: ZipSource(zip_of(tmp_path / "a.zip", (info, b"/etc/passwd"))), "'a/1.png' is a link or a device")


def test_sparse_members_are_refused(tmp_path):
    info = tar_info("a/1.png", 512)
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "99999999999"}
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        archive.addfile(info, io.BytesIO(b"1\n0\n1\n".ljust(512, b"\0")))
    refused(lambda: TarSource(path), "link or a device")


def test_a_member_given_twice_is_refused(tmp_path):
    twice = [tar_info("a/1.png"), tar_info("./a//1.png")]
    refused(lambda: TarSource(tar_of(tmp_path / "a.tar", *twice)), "'a/1.png' is there twice")
    pair = [(zipfile.ZipInfo(info.name), b"") for info in twice]
    refused(lambda: ZipSource(zip_of(tmp_path / "a.zip", *pair)), "'a/1.png' is there twice")


def test_too_many_members_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(members, "MAX_MEMBERS", 3)
    refused(lambda: ZipSource(as_zip(PLAIN, tmp_path / "a.zip")), "more than 3 members")
    refused(lambda: TarSource(as_tar(PLAIN, tmp_path / "a.tar")), "more than 3 members")


def test_a_bomb_in_one_member_is_refused(tmp_path):
    zeros = bytes(8 * 2**20)
    refused(lambda: ZipSource(as_zip({"a": zeros}, tmp_path / "a.zip", zipfile.ZIP_DEFLATED)), "decompression bomb")
    refused(lambda: TarSource(as_tar({"a": zeros}, tmp_path / "a.tar")), "decompression bomb")


@pytest.mark.slow
def test_a_bomb_that_lies_about_its_size_is_not_unpacked(tmp_path):
    path = as_zip({"a": bytes(64 * 2**20)}, tmp_path / "a.zip", zipfile.ZIP_DEFLATED)
    path.write_bytes(path.read_bytes().replace(struct.pack("<I", 64 * 2**20), struct.pack("<I", 1000)))
    tracemalloc.start()
    try:
        refused(lambda: ZipSource(path), "'a' is damaged")
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20
    finally:
        tracemalloc.stop()


def test_a_bomb_behind_honest_bytes_is_refused(tmp_path):
    """The packed size of the whole archive does not excuse one member."""
    found = {"noise": b"".join(struct.pack(">I", i * 2654435761 % 2**32) for i in range(2**16)), "a": bytes(8 * 2**20)}
    refused(lambda: ZipSource(as_zip(found, tmp_path / "a.zip", zipfile.ZIP_DEFLATED)), "bomb.*'a'")


def test_a_bomb_of_many_small_members_is_refused(tmp_path):
    many = {str(i): bytes(2**18) for i in range(40)}
    refused(lambda: ZipSource(as_zip(many, tmp_path / "a.zip", zipfile.ZIP_DEFLATED)), "decompression bomb")
    refused(lambda: TarSource(as_tar(many, tmp_path / "a.tar")), "decompression bomb")


def test_a_bomb_behind_the_last_member_is_refused(tmp_path):
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(bytes(8 * 2**20)))
    refused(lambda: TarSource(path), "decompression bomb")


def test_the_total_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(members, "MAX_TOTAL_BYTES", 1000)
    refused(lambda: ZipSource(as_zip(PLAIN, tmp_path / "a.zip")), "decompression bomb")
    refused(lambda: TarSource(as_tar(PLAIN, tmp_path / "a.tar", "w")), "decompression bomb")


def test_a_member_that_is_read_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(members, "MAX_MEMBER_BYTES", 1000)
    for source in (ZipSource(as_zip(PLAIN, tmp_path / "a.zip")), TarSource(as_tar(PLAIN, tmp_path / "a.tar"))):
        with closing(source):
            source.members()
            assert dict(source.read({"a/1.png"})) == {"a/1.png": b"one"}
            with pytest.raises(RequestError, match=r"'a/2.png' has 1200 bytes, at most 1000"):
                list(source.read({"a/2.png"}))


def test_long_headers_of_a_tar_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(tar_source, "MAX_HEADER_BYTES", 4096)
    info = tar_info("a/1.png")
    info.pax_headers = {"comment": "x" * 5000}
    refused(lambda: TarSource(tar_of(tmp_path / "a.tar", tar_info("a/0.png"), info)), "headers of more than 4096")


def test_a_long_table_of_contents_of_a_zip_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(zip_source, "MAX_DIRECTORY_BYTES", 100)
    refused(lambda: ZipSource(as_zip(PLAIN, tmp_path / "a.zip")), "table of contents")


def test_an_encrypted_member_is_refused(tmp_path):
    path = as_zip({"a/1.png": b"one"}, tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    refused(lambda: ZipSource(path), "'a/1.png' is encrypted")


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packing_that_takes_memory_is_refused(tmp_path, compression):
    refused(lambda: ZipSource(as_zip(PLAIN, tmp_path / "a.zip", compression)), "neither stored nor packed")


def test_a_changed_byte_is_found(tmp_path):
    path = as_zip({"a/1.png": b"one"}, tmp_path / "a.zip")
    path.write_bytes(path.read_bytes().replace(b"one", b"0ne"))
    refused(lambda: ZipSource(path), "'a/1.png' is damaged")
    path = as_tar(PLAIN, tmp_path / "a.tar.gz")
    data = bytearray(path.read_bytes())
    data[-8] ^= 1  # in gzip's checksum
    path.write_bytes(data)
    refused(lambda: TarSource(path), "a.tar.gz is truncated or damaged")


@pytest.mark.parametrize("kept", [0.02, 0.4, 0.6, 0.9, 0.999])
def test_truncated_archives_are_refused(tmp_path, kept):
    noise = {f"{i}.png": bytes((i * j * j + j // 7) % 251 for j in range(700)) for i in range(9)}
    for make, source in ((as_zip, ZipSource), (as_tar, TarSource)):
        path = make(noise, tmp_path / make.__name__)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
        refused(lambda source=source, path=path: source(path), "truncated")


@pytest.mark.parametrize("cut", [512, 600, 1024, 1536, 2048])
def test_a_plain_tar_that_ends_anywhere_is_refused(tmp_path, cut):
    path = tar_of(tmp_path / "a.tar", tar_info("1", 512), tar_info("2", 512), mode="w", form=tarfile.USTAR_FORMAT)
    path.write_bytes(path.read_bytes()[:cut])
    refused(lambda: TarSource(path), "truncated")


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path):
    path = tar_of(tmp_path / "a.tar", tar_info("1", 512), tar_info("2", 512), mode="w", form=tarfile.USTAR_FORMAT)
    data = bytearray(path.read_bytes())
    data[1024 + 100] ^= 1
    path.write_bytes(data)
    refused(lambda: TarSource(path), "truncated or damaged after '1'")


def test_a_tar_that_shrinks_between_listing_and_reading_is_refused(tmp_path):
    path = as_tar({"1": b"x" * 2000}, tmp_path / "a.tar", "w")
    source = TarSource(path)
    source.members()
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(RequestError, match="is truncated in the member '1'"):
        list(source.read({"1"}))


def test_a_zip_of_a_later_version_is_refused(tmp_path):
    path = as_zip({"a/1.png": b"one"}, tmp_path / "a.zip")
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 6] = 99
    path.write_bytes(data)
    refused(lambda: ZipSource(path), r"no zip archive \(zip file version 9.9\)")


def test_a_negative_size_does_not_loop(tmp_path):
    path = tar_of(tmp_path / "a.tar", tar_info("1", 512), tar_info("2"), mode="w", form=tarfile.GNU_FORMAT)
    data = bytearray(path.read_bytes())
    header = bytearray(data[1024:1536])
    header[124:136] = b"\xff" * 10 + struct.pack(">h", -1024)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    data[1024:1536] = header
    path.write_bytes(data)
    refused(lambda: TarSource(path), "'2' has a negative size")
