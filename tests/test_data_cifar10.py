"""CIFAR-10: from cifar10.npz, from torchvision's files, and downloaded (from a server inside the test)."""

import contextlib
import functools
import hashlib
import io
import pickle
import socket
import tarfile
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
import torch

from relvit_lab import data
from relvit_lab.data import cifar10
from relvit_lab.data.base import digest
from relvit_lab.errors import RelvitError

FILES = [f"data_batch_{n}" for n in range(1, 6)] + ["test_batch"]
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 4, 3072), dtype=np.uint8)  # 4 images a file
LABELS = np.random.default_rng(1).integers(0, 10, (6, 4))
ONE_DOWNLOAD = 2  # requests: torchvision asks once where the address leads, and once for the file


class OldPickler(pickle._Pickler):
    """Writes dtypes as the NumPy that packed CIFAR-10 did: align as a number, over which NumPy now warns."""

    def reducer_override(self, value):
        if isinstance(value, np.dtype):
            return (np.dtype, (value.str[1:], 0, 1), (3, "|", None, None, None, -1, -1, 0))
        return NotImplemented


def content():
    """{name: bytes} of the folder that torchvision unpacks."""
    files = {"batches.meta": pickle.dumps({"label_names": list(cifar10.CLASSES)}, protocol=2)}
    for name, pixels, labels in zip(FILES, PIXELS, LABELS):
        stream = io.BytesIO()
        OldPickler(stream, protocol=2).dump({"data": pixels, "labels": labels.tolist(), "batch_label": name})
        files[name] = stream.getvalue()
    return files


def packed(files):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, body in files.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return stream.getvalue()


def md5(body):
    return hashlib.md5(body).hexdigest()


@functools.cache
def small_archive():
    """Once: it has time stamps in it."""
    return packed(content())


@pytest.fixture
def files(monkeypatch):
    """The small CIFAR-10, with its MD5s in torchvision's class in place of the real ones."""
    from torchvision.datasets import CIFAR10

    files = content()
    sums = [[name, md5(files[name])] for name in FILES]
    monkeypatch.setattr(CIFAR10, "train_list", sums[:5])
    monkeypatch.setattr(CIFAR10, "test_list", sums[5:])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": md5(files["batches.meta"])})
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(small_archive()))
    return files


@pytest.fixture
def offline(monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network in tests")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def unpack(files, folder):
    base = folder / "cifar-10-batches-py"
    base.mkdir(parents=True)
    for name, body in files.items():
        (base / name).write_bytes(body)
    return folder


class QuietServer(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass


class Server:
    """Serves `body`, or its first `send` bytes and then drops the line; counts; waits halfway while `gate` is shut."""

    def __init__(self, body, send=None):
        self.asked, self.gate, self.halfway = 0, threading.Event(), threading.Event()
        self.gate.set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()

            def do_GET(self):
                server.asked += 1
                with contextlib.suppress(ConnectionError):  # torchvision closes its first request unread
                    self.do_HEAD()
                    self.wfile.write(body[:100])
                    server.halfway.set()
                    server.gate.wait(10)
                    self.wfile.write(body[100:send])

            def log_message(self, *args):
                pass

        self.http = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/cifar-10-python.tar.gz"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.gate.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def serve(files, monkeypatch):
    """Starts servers, of the small archive where no other body is given, and has torchvision ask them."""
    from torchvision.datasets import CIFAR10

    servers = []

    def start(body=None, send=None):
        server = Server(body or small_archive(), send)
        servers.append(server)
        monkeypatch.setattr(CIFAR10, "url", server.url)
        monkeypatch.setenv("no_proxy", "*")
        return server

    yield start
    for server in servers:
        server.close()


def is_the_small_set(mine):
    images = torch.from_numpy(PIXELS).view(24, 3, 32, 32)
    labels = torch.from_numpy(LABELS).view(24)
    expected = data.Split(images[:20], labels[:20]), data.Split(images[20:], labels[20:])
    assert mine.digest == digest(*expected) and torch.equal(mine.train.images, images[:20])
    assert mine.test.labels.tolist() == labels[20:].tolist()
    assert mine.name == "cifar10" and mine.classes == cifar10.CLASSES and mine.classes[6] == "frog"
    assert mine.mean == (0.4914, 0.4822, 0.4465) and mine.std == (0.2470, 0.2435, 0.2616)
    return True


def npz(folder, **changes):
    images = PIXELS.reshape(24, 3, 32, 32).transpose(0, 2, 3, 1)
    labels = LABELS.reshape(24).astype(np.uint8)
    arrays = {"x_train": images[:20], "y_train": labels[:20], "x_test": images[20:], "y_test": labels[20:]}
    np.savez(folder / "cifar10.npz", **(arrays | changes))


def test_torchvisions_files(files, offline, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert is_the_small_set(data.load("cifar10", unpack(files, tmp_path)))
    assert "there already" in data.fetch("cifar10", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cifar-10-batches-py"]  # no lock: it may be read-only


def test_npz(offline, tmp_path):
    npz(tmp_path)
    mine = data.load("cifar10", tmp_path)
    assert is_the_small_set(mine) and "20 and 4 images" in mine.notes[0]
    assert "there already" in data.fetch("cifar10", tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"x_train": np.zeros((20, 28, 28, 3), np.uint8), "x_test": np.zeros((4, 28, 28, 3), np.uint8)},
        {"y_train": np.arange(20)},
        {"y_test": np.array(["cat"] * 4)},
    ],
)
def test_npz_of_something_else(tmp_path, changes):
    npz(tmp_path, **changes)
    with pytest.raises(RelvitError, match=r"cifar10\.npz is not CIFAR-10"):
        data.load("cifar10", tmp_path)


def test_truncated_npz(tmp_path):
    npz(tmp_path)
    path = tmp_path / "cifar10.npz"
    path.write_bytes(path.read_bytes()[:-1000])
    for call in (data.load, data.fetch):
        with pytest.raises(RelvitError, match=r"cifar10\.npz cannot be read"):
            call("cifar10", tmp_path)


def test_no_network(files, offline, tmp_path):
    folder = tmp_path / "sets"
    for call in (data.load, data.fetch):
        with pytest.raises(RelvitError) as error:
            call("cifar10", folder)
        message = str(error.value)
        assert f"python -m relvit_lab fetch cifar10 --data-dir {folder}" in message
        assert "cifar10.npz" in message and "no network in tests" in message and "\n" not in message
    assert [path.name for path in folder.iterdir() if path.name != ".cifar10.lock"] == []
    assert socket.getdefaulttimeout() is None


def test_a_damaged_file_is_not_taken_for_whole(files, offline, tmp_path):
    unpack(files, tmp_path)
    batch = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    batch.write_bytes(batch.read_bytes()[:-1])
    with pytest.raises(RelvitError, match="not whole"):
        data.load("cifar10", tmp_path)
    assert batch.exists()  # what was there stays until there is better


def test_no_folder_can_be_made(files, offline, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RelvitError, match="cifar10 is not whole"):
        data.load("cifar10", tmp_path / "file" / "inner")


def test_an_archive_in_the_folder_serves_without_network(files, offline, tmp_path):
    archive = tmp_path / "cifar-10-python.tar.gz"
    archive.write_bytes(small_archive())
    assert is_the_small_set(data.load("cifar10", tmp_path))
    assert archive.exists()  # it is the user's


def test_download(serve, files, tmp_path, capfd):
    server = serve()
    assert "now in" in data.fetch("cifar10", tmp_path / "sets")
    assert "100%" in capfd.readouterr().err
    assert is_the_small_set(data.load("cifar10", tmp_path / "sets"))
    assert server.asked == ONE_DOWNLOAD
    assert sorted(path.name for path in (tmp_path / "sets").iterdir() if path.name != ".cifar10.lock") == [
        "cifar-10-batches-py"
    ]


def test_download_without_a_bar(serve, tmp_path, capfd):
    serve()
    assert is_the_small_set(data.load("cifar10", tmp_path, progress=False))
    assert capfd.readouterr().err == ""


def test_a_download_that_was_killed_is_replaced_and_so_is_a_damaged_set(serve, files, tmp_path):
    serve()
    unpack(files, tmp_path / ".cifar10.part")  # whole or not, it is made anew
    (tmp_path / ".cifar10.part" / "cifar-10-python.tar.gz").write_bytes(b"half")
    unpack(files, tmp_path)
    (tmp_path / "cifar-10-batches-py" / "test_batch").unlink()
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"half of an archive")
    assert is_the_small_set(data.load("cifar10", tmp_path))
    assert not (tmp_path / ".cifar10.part").exists()


@pytest.mark.parametrize("damage", ["the line drops", "other content", "an archive that lies"])
def test_a_bad_download_leaves_nothing(serve, files, tmp_path, damage, monkeypatch):
    if damage == "an archive that lies":  # the archive's own MD5 is right, a file's is not
        body = packed(files | {"test_batch": b"something else"})
        serve(body=body)
        from torchvision.datasets import CIFAR10

        monkeypatch.setattr(CIFAR10, "tgz_md5", md5(body))
    else:
        serve(send=3000) if damage == "the line drops" else serve(body=b"<html>log in first</html>")
    with pytest.raises(RelvitError, match="could not be downloaded"):
        data.load("cifar10", tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name != ".cifar10.lock"] == []


def test_two_at_once_download_once(serve, tmp_path, capfd):
    server = serve()
    server.gate.clear()
    done = []

    def work():
        done.append(data.load("cifar10", tmp_path))

    threads = [threading.Thread(target=work) for _ in range(2)]
    threads[0].start()
    assert server.halfway.wait(10)
    threads[1].start()
    threads[1].join(1.3)
    assert threads[1].is_alive() and not done
    server.gate.set()
    for thread in threads:
        thread.join(10)
    assert len(done) == 2 and all(map(is_the_small_set, done)) and server.asked == ONE_DOWNLOAD
    assert "waiting for another process" in capfd.readouterr().err


def test_an_interrupt_leaves_nothing(files, offline, tmp_path, monkeypatch):
    def interrupted(folder, data_dir):
        unpack(files, folder)
        raise KeyboardInterrupt

    monkeypatch.setattr(cifar10, "_get", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.load("cifar10", tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name != ".cifar10.lock"] == []
