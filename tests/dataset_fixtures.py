"""Tiny copies of the six data sets in their real layout on disk, and a server inside the test that hands them out.

build(name, data_dir, monkeypatch) writes one; where the real files have published MD5s, those of the copy take their
place for the test.
"""

import contextlib
import functools
import hashlib
import io
import json
import pickle
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from PIL import Image

from relvit_lab.data import flower102, tiny_imagenet
from relvit_lab.data.cifar import CLASSES_10, CLASSES_100

COUNTS = {  # images in train, val and test
    "cifar10": (20, 0, 4), "cifar100": (20, 0, 8), "svhn": (20, 0, 10), "flower102": (12, 6, 12),
    "tiny_imagenet": (24, 0, 12), "imagenet100": (24, 0, 12),
}  # fmt: skip
WNIDS = ("n02124075", "n01443537", "n04067472", "n03100240")  # not sorted: the order of the list counts
WORDS = ("Egyptian cat", "goldfish, Carassius auratus", "reel", "convertible")


def build(name: str, data_dir: Path, monkeypatch) -> None:
    write(globals()[f"{name}_files"](), data_dir)
    expect_md5s(name, monkeypatch)


def write(files: dict[str, bytes], folder: Path) -> Path:
    """{path: content}"""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def expect_md5s(name: str, monkeypatch) -> None:
    from torchvision.datasets import CIFAR10, CIFAR100, SVHN, Flowers102

    if name in ("cifar10", "cifar100"):
        kind, files = (CIFAR10, cifar10_files()) if name == "cifar10" else (CIFAR100, cifar100_files())
        sums = [[path.split("/")[1], md5(content)] for path, content in files.items()]
        monkeypatch.setattr(kind, "train_list", sums[1:-1])
        monkeypatch.setattr(kind, "test_list", sums[-1:])
        monkeypatch.setattr(kind, "meta", kind.meta | {"md5": sums[0][1]})
        monkeypatch.setattr(kind, "tgz_md5", md5(archive(name)))
    if name == "svhn":
        for split in ("train", "test"):
            url, file, _ = SVHN.split_list[split]
            monkeypatch.setitem(SVHN.split_list, split, [url, file, md5(svhn_files()[file])])
    if name == "flower102":
        for key, (file, _) in Flowers102._file_dict.items():
            content = archive(name) if key == "image" else flower102_files()[f"flowers-102/{file}"]
            monkeypatch.setitem(flower102.MD5, file, md5(content))
            monkeypatch.setitem(Flowers102._file_dict, key, (file, md5(content)))
    if name == "tiny_imagenet":
        monkeypatch.setattr(tiny_imagenet, "MD5", md5(archive(name)))


@functools.cache  # it has time stamps in it
def archive(name: str) -> bytes:
    """What the set's own site hands out; of Flower-102, the images."""
    files = globals()[f"{name}_files"]()
    if name == "flower102":
        files = {path.removeprefix("flowers-102/"): body for path, body in files.items() if path.endswith(".jpg")}
    return zipped(files) if name == "tiny_imagenet" else tarred(files)


def tarred(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as opened:
        for path, content in files.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))
    return stream.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as opened:
        for path, content in files.items():
            opened.writestr(path, content)
    return stream.getvalue()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


class OldPickler(pickle._Pickler):
    """Writes dtypes as the NumPy that packed CIFAR did: align as a number, over which NumPy now warns."""

    def reducer_override(self, value):
        if isinstance(value, np.dtype):
            return (np.dtype, (value.str[1:], 0, 1), (3, "|", None, None, None, -1, -1, 0))
        return NotImplemented


def pickled(value: dict) -> bytes:
    stream = io.BytesIO()
    OldPickler(stream, protocol=2).dump(value)
    return stream.getvalue()


@functools.cache
def pixels(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 3, 32, 32) uint8 and labels (n,) of a set of arrays: training, then test."""
    draw = np.random.default_rng(sum(name.encode()))
    train, _, test = COUNTS[name]
    classes = 100 if name == "cifar100" else 10
    images = draw.integers(0, 256, (train + test, 3, 32, 32), dtype=np.uint8)
    return images, draw.permutation(np.arange(train + test) % classes)


@functools.cache
def cifar10_files() -> dict[str, bytes]:
    images, labels = pixels("cifar10")
    names = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]
    files = {"batches.meta": pickle.dumps({"label_names": list(CLASSES_10)}, protocol=2)}
    for n, name in enumerate(names):  # 4 images a file
        part = slice(4 * n, 4 * n + 4)
        files[name] = pickled({"data": images[part].reshape(4, 3072), "labels": labels[part].tolist()})
    return {f"cifar-10-batches-py/{name}": content for name, content in files.items()}


@functools.cache
def cifar100_files() -> dict[str, bytes]:
    images, labels = pixels("cifar100")
    files = {"meta": pickle.dumps({"fine_label_names": list(CLASSES_100)}, protocol=2)}
    for name, part in (("train", slice(0, 20)), ("test", slice(20, 28))):
        fine = labels[part].tolist()
        data = images[part].reshape(len(fine), 3072)
        files[name] = pickled({"data": data, "fine_labels": fine, "coarse_labels": [n % 20 for n in fine]})
    return {f"cifar-100-python/{name}": content for name, content in files.items()}


@functools.cache
def svhn_files() -> dict[str, bytes]:
    images, labels = pixels("svhn")
    ten = np.where(labels == 0, 10, labels).astype(np.uint8)[:, None]  # SVHN's zero
    return {
        f"{split}_32x32.mat": matlab(X=images[part].transpose(2, 3, 1, 0), y=ten[part])  # (n,C,H,W) -> (H,W,C,n)
        for split, part in (("train", slice(0, 20)), ("test", slice(20, 30)))
    }


def matlab(**arrays: np.ndarray) -> bytes:
    from scipy.io import savemat

    stream = io.BytesIO()
    savemat(stream, arrays)
    return stream.getvalue()


def photo(seed: int) -> bytes:
    """A smooth random picture as a JPEG. Of each eight, some are grey, CMYK, a palette PNG under a JPEG's name (one
    such is in ImageNet), turned by EXIF, and of odd sizes."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    width, height = {4: (75, 41), 5: (31, 57), 6: (64, 64)}.get(seed % 8, (60, 48))
    picture = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    form = "JPEG"
    match seed % 8:
        case 0:
            picture = picture.convert("L")
        case 1:
            picture = picture.convert("CMYK")
        case 2:
            picture, form = picture.convert("P"), "PNG"
        case 3:
            exif[0x0112] = 6  # to be turned by 90 degrees
    stream = io.BytesIO()
    picture.save(stream, form, exif=exif)
    return stream.getvalue()


@functools.cache
def flower102_files() -> dict[str, bytes]:
    draw = np.random.default_rng(102)
    train, val, test = COUNTS["flower102"]
    total = train + val + test
    order = draw.permutation(total) + 1  # numbers of images, from 1
    labels = draw.integers(1, 103, total).astype(np.uint8)
    labels[order[:3] - 1] = 1, 77, 102
    files = {f"jpg/image_{n:05}.jpg": photo(n) for n in range(1, total + 1)}
    files["imagelabels.mat"] = matlab(labels=labels[None])  # (n,) -> (1,n)
    ends = {"trnid": order[:train], "valid": order[train : train + val], "tstid": order[train + val :]}
    files["setid.mat"] = matlab(**{key: numbers[None].astype(np.uint16) for key, numbers in ends.items()})
    return {f"flowers-102/{path}": content for path, content in files.items()}


@functools.cache
def tiny_imagenet_files() -> dict[str, bytes]:
    files = {
        "wnids.txt": "".join(f"{wnid}\n" for wnid in WNIDS).encode(),
        "words.txt": "".join(f"{w}\t{name}\n" for w, name in (("n00001740", "entity"), *zip(WNIDS, WORDS))).encode(),
        "test/images/test_0.JPEG": photo(99),
    }
    for n, wnid in enumerate(WNIDS):
        files[f"train/{wnid}/{wnid}_boxes.txt"] = b""
        files |= {f"train/{wnid}/images/{wnid}_{i}.JPEG": photo(10 * n + i) for i in range(6)}
    labels = [WNIDS[n * 7 % 4] for n in range(12)]
    lines = [f"val_{n}.JPEG\t{wnid}\t0\t32\t44\t62\n" for n, wnid in enumerate(labels)]
    files["val/val_annotations.txt"] = "".join(lines).encode()
    files |= {f"val/images/val_{n}.JPEG": photo(100 + n) for n in range(12)}
    return {f"tiny-imagenet-200/{path}": content for path, content in files.items()}


@functools.cache
def imagenet100_files() -> dict[str, bytes]:
    """As Kaggle's copy: the classes are spread over train.X1 to train.X4."""
    files = {"Labels.json": json.dumps(dict(zip(WNIDS, WORDS))).encode()}
    for n, wnid in enumerate(WNIDS):
        files |= {f"train.X{n + 1}/{wnid}/{wnid}_{i}.JPEG": photo(10 * n + i) for i in range(6)}
        files |= {f"val.X/{wnid}/ILSVRC2012_val_{10 * n + i:08}.JPEG": photo(100 + 10 * n + i) for i in range(3)}
    return {f"imagenet100/{path}": content for path, content in files.items()}


class QuietServer(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass


class Server:
    """Serves files by the last part of their address, whole or their first `send` bytes, after which it drops the line;
    counts what it was asked for; waits within a file while `gate` is shut."""

    def __init__(self, files: dict[str, bytes], send: int | None = None):
        self.asked, self.gate, self.halfway = 0, threading.Event(), threading.Event()
        self.gate.set()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                body = files.get(self.path.rsplit("/")[-1])
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                return body or b""

            def do_GET(self):
                server.asked += 1
                with contextlib.suppress(ConnectionError):  # torchvision closes its first request unread
                    body = self.do_HEAD()
                    self.wfile.write(body[:100])
                    server.halfway.set()
                    server.gate.wait(10)
                    self.wfile.write(body[100:send])

            def log_message(self, *args):
                pass

        self.http = QuietServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def close(self):
        self.gate.set()
        self.http.shutdown()
        self.http.server_close()


def send_to(server: Server, monkeypatch) -> None:
    """Has all downloads ask this server."""
    from torchvision.datasets import CIFAR10, CIFAR100, SVHN

    monkeypatch.setenv("no_proxy", "*")
    for kind in (CIFAR10, CIFAR100):
        monkeypatch.setattr(kind, "url", f"{server.url}/{kind.filename}")
    for split, (_, file, checksum) in list(SVHN.split_list.items()):
        monkeypatch.setitem(SVHN.split_list, split, [f"{server.url}/{file}", file, checksum])
    monkeypatch.setattr(flower102, "ADDRESS", f"{server.url}/")
    monkeypatch.setattr(tiny_imagenet, "URL", f"{server.url}/tiny-imagenet-200.zip")


def handed_out(name: str) -> dict[str, bytes]:
    """{file name: content} of what the set's own site has."""
    if name == "svhn":
        return svhn_files()
    if name == "flower102":
        labels = {path.split("/")[1]: body for path, body in flower102_files().items() if path.endswith(".mat")}
        return {"102flowers.tgz": archive(name), **labels}
    files = {"cifar10": "cifar-10-python.tar.gz", "cifar100": "cifar-100-python.tar.gz"}
    return {files.get(name, "tiny-imagenet-200.zip"): archive(name)}
