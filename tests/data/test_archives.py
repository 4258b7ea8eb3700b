"""Unpacking: real archives come out whole, and whatever an archive holds, nothing is written outside its folder."""

import io
import tarfile
import zipfile
import zlib

import pytest
from dataset_fixtures import tarred, zipped

from relvit_lab.data import download
from relvit_lab.data.download import unpack

FILES = {"set/a.txt": b"one", "set/deep/er/b.bin": bytes(range(256)) * 9000, "c.txt": b""}


def put(folder, body):
    """The archive, in a folder of its own, and the folder to unpack into."""
    (folder / "target").mkdir(parents=True)
    (folder / "archive").write_bytes(body)
    return folder / "archive", folder / "target"


def names_under(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def tar_of(*members):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as opened:
        for member in members:
            opened.addfile(member)
    return stream.getvalue()


def special(name, kind, target=""):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize("make", [tarred, zipped])
def test_all_comes_out(make, tmp_path):
    archive, target = put(tmp_path, make(FILES))
    unpack(archive, target, progress=False)
    assert {name: (target / name).read_bytes() for name in names_under(target)} == FILES


def test_empty_folders_and_a_dot(tmp_path):
    archive, target = put(tmp_path / "tar", tar_of(special(".", tarfile.DIRTYPE), special("./empty", tarfile.DIRTYPE)))
    unpack(archive, target, progress=False)
    assert (target / "empty").is_dir()
    archive, target = put(tmp_path / "zip", zipped({"empty/": b"", "./a": b"1"}))
    unpack(archive, target, progress=False)
    assert (target / "empty").is_dir() and (target / "a").read_bytes() == b"1"


@pytest.mark.parametrize("make", [tarred, zipped])
@pytest.mark.parametrize(
    "name", ["../out.txt", "set/../../out.txt", "/tmp/out.txt", "..\\out.txt", "C:\\out.txt", "C:out.txt", "set/.."]
)
def test_names_that_lead_out(make, name, tmp_path):
    archive, target = put(tmp_path / "a" / "b", make({"good.txt": b"1", name: b"2"}))
    with pytest.raises(RuntimeError, match="leads out of its folder"):
        unpack(archive, target, progress=False)
    assert names_under(tmp_path) == ["a/b/archive", "a/b/target/good.txt"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_in_a_tar(kind, tmp_path):
    archive, target = put(tmp_path, tar_of(special("link", kind, "/etc")))
    with pytest.raises(RuntimeError, match="'link', a link or device"):
        unpack(archive, target, progress=False)
    assert list(target.iterdir()) == []


def test_a_link_in_a_zip(tmp_path):
    member = zipfile.ZipInfo("link")
    member.external_attr = 0o120777 << 16
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as opened:
        opened.writestr(member, "/etc")
    archive, target = put(tmp_path, stream.getvalue())
    with pytest.raises(RuntimeError, match="'link', a link or device"):
        unpack(archive, target, progress=False)
    assert list(target.iterdir()) == []


@pytest.mark.parametrize("make", [tarred, zipped])
def test_a_bomb(make, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "MOST_BYTES", 10_000_000)
    archive, target = put(tmp_path / "large", make({"a": bytes(9_000_000), "b": bytes(2_000_000)}))
    with pytest.raises(RuntimeError, match="unpacks to more"):
        unpack(archive, target, progress=False)
    assert names_under(target) == ["a"]
    monkeypatch.setattr(download, "MOST_MEMBERS", 3)
    archive, target = put(tmp_path / "many", make({str(n): b"" for n in range(9)}))
    with pytest.raises(RuntimeError, match="unpacks to more"):
        unpack(archive, target, progress=False)
    assert len(names_under(target)) == 3


def test_a_zip_that_understates_a_size(tmp_path):
    """No more than the stated size is written, and then the checksum is wrong."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("a", bytes(1_000_000))
    body = stream.getvalue().replace((1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    archive, target = put(tmp_path, body)
    with pytest.raises(zipfile.BadZipFile):
        unpack(archive, target, progress=False)
    assert (target / "a").stat().st_size <= 10


@pytest.mark.parametrize("make", [tarred, zipped])
def test_damaged_archives(make, tmp_path):
    whole = make(FILES)
    middle = len(whole) // 2
    for n, body in enumerate((whole[:middle], whole[:middle] + b"zzzz" + whole[middle + 4 :], b"", b"no archive")):
        archive, target = put(tmp_path / str(n), body)
        with pytest.raises((tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, OSError)):
            unpack(archive, target, progress=False)


def test_a_bar(tmp_path, capsys):
    archive, target = put(tmp_path, zipped(FILES))
    unpack(archive, target, progress=True)
    assert "unpacking archive" in capsys.readouterr().err
