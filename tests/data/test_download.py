"""Downloading the data sets (from a server inside the test): all or nothing, once, never onto a user's files."""

import shutil
import socket
import threading

import pytest
from dataset_fixtures import (
    COUNTS,
    Server,
    build,
    cifar10_files,
    expect_md5s,
    handed_out,
    md5,
    send_to,
    svhn_files,
    tarred,
    tiny_imagenet_files,
    write,
    zipped,
)  # fmt: skip

from relvit_lab import data
from relvit_lab.common.errors import RelvitError
from relvit_lab.data import flower102, tiny_imagenet

NAMES = ("cifar10", "cifar100", "svhn", "flower102", "tiny_imagenet")
ROOTS = {
    "cifar10": ["cifar-10-batches-py"], "cifar100": ["cifar-100-python"], "flower102": ["flowers-102"],
    "svhn": ["test_32x32.mat", "train_32x32.mat"], "tiny_imagenet": ["tiny-imagenet-200"],
}  # fmt: skip


@pytest.fixture
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture
def serve(monkeypatch):
    """Starts servers and has all downloads ask the last one."""
    servers = []

    def start(files, send=None):
        servers.append(Server(files, send))
        send_to(servers[-1], monkeypatch)
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def left_in(folder):
    """What is there beside locks, which are empty."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def is_the_small_set(name, folder):
    mine = data.load(name, folder, image_size=32, progress=False)
    train, val, test = COUNTS[name]
    assert (len(mine.train), len(mine.test)) == (train, test) and (len(mine.val) if mine.val else 0) == val
    return True


@pytest.mark.parametrize("name", NAMES)
def test_download(name, serve, tmp_path, monkeypatch, capfd):
    expect_md5s(name, monkeypatch)
    server = serve(handed_out(name))
    folder = tmp_path / "sets"
    assert f"{name} is now in {folder}" in data.fetch(name, folder)
    assert "100%" in capfd.readouterr().err
    assert left_in(folder) == ROOTS[name]
    asked = server.asked
    assert "there already" in data.fetch(name, folder) and is_the_small_set(name, folder) and server.asked == asked


@pytest.mark.parametrize("name", NAMES)
def test_loading_downloads_too_and_without_a_bar(name, serve, tmp_path, monkeypatch, capfd):
    expect_md5s(name, monkeypatch)
    serve(handed_out(name))
    assert is_the_small_set(name, tmp_path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", NAMES)
def test_the_sites_files_in_the_folder_serve_without_network(name, offline, tmp_path, monkeypatch):
    expect_md5s(name, monkeypatch)
    write(handed_out(name), tmp_path)
    assert is_the_small_set(name, tmp_path)
    assert all((tmp_path / file).read_bytes() == body for file, body in handed_out(name).items())  # they are the user's


@pytest.mark.parametrize("name", NAMES)
def test_no_network(name, offline, tmp_path):
    folder = tmp_path / "sets"
    for call in (data.load, data.fetch):
        with pytest.raises(RelvitError) as error:
            call(name, folder)
        message = str(error.value)
        assert f"python -m relvit_lab fetch {name} --data-dir {folder}" in message
        assert "no network in tests" in message and "\n" not in message and "; or put" in message
    assert left_in(folder) == []
    assert socket.getdefaulttimeout() is None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("damage", ["the line drops", "other content", "it is gone"])
def test_a_bad_download_leaves_nothing(name, damage, serve, tmp_path, monkeypatch):
    expect_md5s(name, monkeypatch)
    files = handed_out(name)
    if damage == "other content":
        files = dict.fromkeys(files, b"<html>log in first</html>")
    serve({} if damage == "it is gone" else files, send=600 if damage == "the line drops" else None)
    words = "404" if damage == "it is gone" else "MD5 is not"
    for call in (data.fetch, data.load):
        with pytest.raises(RelvitError, match=f"{name} is not whole.*could not be downloaded.*{words}"):
            call(name, tmp_path, progress=False)
    assert left_in(tmp_path) == []


def test_the_last_of_several_files_fails(serve, tmp_path, monkeypatch):
    for name, last in (("svhn", "test_32x32.mat"), ("flower102", "setid.mat")):
        expect_md5s(name, monkeypatch)
        serve({file: body for file, body in handed_out(name).items() if file != last})
        with pytest.raises(RelvitError, match="404"):
            data.fetch(name, tmp_path, progress=False)
        assert left_in(tmp_path) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_of_the_site_in_the_folder_is_named(name, offline, tmp_path, monkeypatch):
    expect_md5s(name, monkeypatch)
    file, body = next(iter(handed_out(name).items()))
    (tmp_path / file).write_bytes(body[:-1])
    with pytest.raises(RelvitError, match=rf"{file} is damaged, its MD5 is not .*no network"):
        data.fetch(name, tmp_path)
    assert left_in(tmp_path) == [file]


def test_an_archive_that_lies(serve, tmp_path, monkeypatch):
    """The archive's own MD5 is right, but what is in it is not."""
    from torchvision.datasets import CIFAR10

    expect_md5s("cifar10", monkeypatch)
    body = tarred(cifar10_files() | {"cifar-10-batches-py/test_batch": b"something else"})
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(body))
    serve({"cifar-10-python.tar.gz": body})
    with pytest.raises(RelvitError, match=r"fail their check: cifar-10-batches-py/test_batch is missing or damaged"):
        data.load("cifar10", tmp_path, progress=False)
    files = dict(tiny_imagenet_files())
    del files["tiny-imagenet-200/val/images/val_3.JPEG"]
    monkeypatch.setattr(tiny_imagenet, "MD5", md5(zipped(files)))
    serve({"tiny-imagenet-200.zip": zipped(files)})
    with pytest.raises(RelvitError, match=r"fail their check: .*lacks 1 of 12 images: val_3\.JPEG"):
        data.load("tiny_imagenet", tmp_path, progress=False)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("name", ["tiny_imagenet", "flower102", "cifar10"])
def test_an_archive_that_leads_out_of_its_folder(name, serve, tmp_path, monkeypatch):
    expect_md5s(name, monkeypatch)
    file = next(iter(handed_out(name)))
    body = (zipped if name == "tiny_imagenet" else tarred)({"../../outside.txt": b"evil"})
    monkeypatch.setattr(tiny_imagenet, "MD5", md5(body))
    monkeypatch.setitem(flower102.MD5, file, md5(body))
    monkeypatch.setattr("torchvision.datasets.CIFAR10.tgz_md5", md5(body))
    serve(handed_out(name) | {file: body})
    with pytest.raises(RelvitError, match=r"outside\.txt', which leads out of its folder"):
        data.fetch(name, tmp_path / "a" / "b", progress=False)
    assert left_in(tmp_path / "a" / "b") == [] and not list(tmp_path.rglob("outside.txt"))


def test_a_full_disk_while_unpacking(serve, tmp_path, monkeypatch):
    import errno

    def full(source, copy, length):
        copy.write(source.read(10))
        raise OSError(errno.ENOSPC, "No space left on device")

    expect_md5s("tiny_imagenet", monkeypatch)
    serve(handed_out("tiny_imagenet"))
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(RelvitError, match="No space left on device"):
        data.fetch("tiny_imagenet", tmp_path, progress=False)
    assert left_in(tmp_path) == []


def test_no_folder_can_be_made(offline, tmp_path):
    (tmp_path / "file").touch()
    for name in NAMES:
        with pytest.raises(RelvitError, match=f"Not a directory.*{name} is kept|{name} is not whole"):
            data.load(name, tmp_path / "file" / "inner")


def test_a_damaged_array_file_is_not_taken_for_whole(offline, tmp_path, monkeypatch):
    build("cifar10", tmp_path, monkeypatch)
    batch = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    batch.write_bytes(batch.read_bytes()[:-1])
    with pytest.raises(RelvitError, match=r"not whole .*data_batch_3 is missing or damaged"):
        data.load("cifar10", tmp_path)
    assert batch.exists()  # what was there stays until there is better
    build("svhn", tmp_path, monkeypatch)
    (tmp_path / "test_32x32.mat").write_bytes(svhn_files()["test_32x32.mat"][:-1])
    with pytest.raises(RelvitError, match=r"not whole .*test_32x32\.mat is missing or damaged"):
        data.load("svhn", tmp_path)


def test_the_half_that_is_there_is_not_downloaded_again(serve, tmp_path, monkeypatch):
    build("svhn", tmp_path, monkeypatch)
    (tmp_path / "test_32x32.mat").unlink()
    serve({"test_32x32.mat": svhn_files()["test_32x32.mat"]})
    assert is_the_small_set("svhn", tmp_path)


def test_a_download_that_was_killed_is_replaced_and_so_is_a_damaged_set_of_arrays(serve, tmp_path, monkeypatch):
    build("cifar10", tmp_path, monkeypatch)
    (tmp_path / "cifar-10-batches-py" / "test_batch").unlink()
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"half of an archive")
    write(cifar10_files(), tmp_path / ".cifar10.part")  # whole or not, it is made anew
    (tmp_path / ".cifar10.part" / "cifar-10-python.tar.gz").write_bytes(b"half")
    serve(handed_out("cifar10"))
    assert is_the_small_set("cifar10", tmp_path)
    assert not (tmp_path / ".cifar10.part").exists()


@pytest.mark.parametrize("name", ["flower102", "tiny_imagenet"])
def test_a_folder_of_images_that_is_not_whole_is_never_replaced(name, serve, tmp_path, monkeypatch):
    server = serve(handed_out(name))
    build(name, tmp_path, monkeypatch)
    root = tmp_path / ROOTS[name][0]
    lost = root / ("jpg/image_00004.jpg" if name == "flower102" else "val/images/val_4.JPEG")
    lost.rename(root / "aside.jpg")
    for call in (data.load, data.fetch):
        with pytest.raises(RelvitError, match=rf"lacks 1 of .*{lost.name}.*Mend it, or remove {root} and fetch"):
            call(name, tmp_path, progress=False)
    assert (root / "aside.jpg").exists() and server.asked == 0


def test_two_at_once_download_once(serve, tmp_path, monkeypatch, capfd):
    expect_md5s("tiny_imagenet", monkeypatch)
    server = serve(handed_out("tiny_imagenet"))
    server.gate.clear()
    done = []

    def work():
        done.append(data.fetch("tiny_imagenet", tmp_path))

    threads = [threading.Thread(target=work) for _ in range(2)]
    threads[0].start()
    assert server.halfway.wait(10)
    threads[1].start()
    threads[1].join(1.3)
    assert threads[1].is_alive() and not done
    server.gate.set()
    for thread in threads:
        thread.join(10)
    assert len(done) == 2 and server.asked == 2  # torchvision asks where an address leads, then for the file
    assert "waiting for another process that downloads tiny_imagenet" in capfd.readouterr().err
    assert sum("now in" in line for line in done) == 1 and sum("there already" in line for line in done) == 1


def test_an_interrupt_leaves_nothing(offline, tmp_path, monkeypatch):
    def interrupted(url, md5, folder, data_dir, progress, under=""):
        write(tiny_imagenet_files(), folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(tiny_imagenet, "obtain_archive", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.load("tiny_imagenet", tmp_path)
    assert left_in(tmp_path) == []


def test_a_folder_that_is_whole_needs_no_lock(tmp_path, monkeypatch):
    """It may be read-only."""
    for name in NAMES:
        build(name, tmp_path / name, monkeypatch)
        data.fetch(name, tmp_path / name)
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == ROOTS[name]
