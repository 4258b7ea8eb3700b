"""§4 (data sets): decoding image files into a packed store (packed.py), in parallel, to be gone on with after any end.

    images.bin     the decoded images, in chunks
    chunks.jsonl   a line for each chunk that is whole: its number, the digests of its listing and pixels, its sums
    index.json     what the store holds
    verified.json  size and time of an images.bin whose digests have been checked

index.json comes last, at once, and its presence is the only sign of a whole store.
"""

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.files import locked, write_whole
from relvit_lab.data.base import bar
from relvit_lab.data.images import decode_image

CHUNK = 64  # images: few enough that a kill costs little
MANY_BROKEN = 5  # so many broken images are named before giving up


@dataclass(frozen=True)
class Job:
    """What is to be in a store: files, of which the first `train` count for mean and std, as side x side pixels.

    listing: a line on each file, that changes when it does.
    """

    name: str
    folder: Path
    paths: tuple[Path, ...]
    listing: tuple[str, ...]
    train: int
    side: int

    @property
    def image_bytes(self) -> int:
        return 3 * self.side * self.side

    @property
    def bytes(self) -> int:
        return len(self.paths) * self.image_bytes

    @property
    def chunks(self) -> int:
        return -(-len(self.paths) // CHUNK)

    @property
    def images_file(self) -> Path:
        return self.folder / "images.bin"

    def chunk(self, number: int) -> slice:
        return slice(number * CHUNK, min((number + 1) * CHUNK, len(self.paths)))

    def chunk_listing(self, number: int) -> str:
        """A digest of all that the record of a chunk depends on."""
        of = self.chunk(number)
        lines = "\n".join((str(max(0, self.train - of.start)), *self.listing[of]))
        return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()


def pack(job: Job, index: dict, progress: bool | None, workers: int | None = None) -> dict:
    """Fill the store, keeping the chunks that are whole already. Writes and returns `index` with its digest and sums.

    The caller holds the store's lock. Raises RelvitError for images that cannot be read, by name, and for a full disk.
    """
    from PIL import Image

    Image.init()  # loads its formats, which threads must not do at once
    (job.folder / "index.json").unlink(missing_ok=True)
    _reserve(job)
    done = read_chunks(job)
    records: list[dict] = []
    broken: list[str] = []
    pool = ThreadPoolExecutor(workers or cores())
    try:
        with open(job.folder / "chunks.jsonl", "a", encoding="utf-8") as log:
            log.write("\n")  # ends a line that a kill tore
            tasks = [pool.submit(_chunk, job, chunk, done.get(chunk)) for chunk in range(job.chunks)]
            for record in _results(job, tasks, "packing images", progress):
                if record.get("broken"):
                    broken += record["broken"]
                    if len(broken) >= MANY_BROKEN:
                        break
                    continue
                if record is not done.get(record["chunk"]):
                    log.write(json.dumps(record) + "\n")
                    log.flush()
                records.append(record)
    finally:
        pool.shutdown(cancel_futures=True)
    if broken:
        more = ["(there may be more)"] if len(broken) >= MANY_BROKEN else []
        raise RelvitError("cannot read these images; mend or remove them:", *broken[:MANY_BROKEN], *more)
    with open(job.images_file, "r+b") as file:
        os.fsync(file.fileno())
    sums = np.sum([record["sums"] for record in records], axis=0).tolist()  # (k,2,3) -> (2,3)
    index = index | {"digest": combined([record["sha256"] for record in records]), "sums": sums}
    write_json(job.folder / "index.json", index)
    remember(job)
    return index


def take_over(job: Job, like: str) -> None:
    """Go on with an unfinished store of that pattern that nobody works at: what was packed before a damaged image was
    mended serves again. Its chunks of other files are decoded anew."""
    for folder in sorted(job.folder.parent.glob(like)):
        if (folder / "index.json").exists() or not (folder / "chunks.jsonl").exists():
            continue
        try:
            with locked(folder / "lock", timeout=0) as held:
                if held:
                    os.replace(folder, job.folder)
                    return
        except OSError:  # another process was faster
            continue


def _results(job: Job, tasks: list, what: str, progress: bool | None) -> Iterator:
    """The chunks' results in their order, beside a bar that counts images."""
    with bar(len(job.paths), what, progress) as shown:
        for chunk, task in enumerate(tasks):
            yield task.result()
            shown.update(len(job.paths[job.chunk(chunk)]))


def _chunk(job: Job, chunk: int, done: dict | None) -> dict:
    """The record of a chunk: `done` where the file still holds that, else of the chunk newly decoded and written.

    Where images are broken it is {"broken": their names and what is wrong}, and nothing is written.
    """
    files, paths = job.chunk_listing(chunk), job.paths[job.chunk(chunk)]
    if done is not None and done.get("files") == files and _digest_in_file(job, chunk) == done["sha256"]:
        return done
    images, broken = np.empty((len(paths), 3, job.side, job.side), np.uint8), []
    for image, path in zip(images, paths):
        try:
            image[...] = decode_image(path, job.side)
        except MemoryError:
            raise RelvitError(f"there is not enough memory to read {path}: shrink it, or leave it out") from None
        except Exception as error:  # a damaged file can make Pillow raise nearly anything
            broken.append(f"{path} ({str(error) or type(error).__name__})")
            if len(broken) == MANY_BROKEN:
                break
    if broken:
        return {"broken": broken}
    _write_chunk(job, chunk, images)
    train = images[: max(0, job.train - job.chunk(chunk).start)]
    digest = hashlib.sha256(images.data).hexdigest()
    return {"chunk": chunk, "files": files, "sha256": digest, "sums": _sums(train)}


def _write_chunk(job: Job, chunk: int, images: np.ndarray) -> None:
    with open(job.images_file, "r+b") as file:
        file.seek(job.chunk(chunk).start * job.image_bytes)
        file.write(images.data)


def _sums(images: np.ndarray) -> list[list[float]]:
    """The sums of all pixels and of their squares, by channel: whole numbers, exact in float64."""
    sums = np.zeros((2, 3))
    for image in images:  # one at a time stays in the cache
        values = image.reshape(3, -1).astype(np.float64)  # (3,H,W) -> (3,H*W)
        sums += values.sum(1), np.einsum("cp,cp->c", values, values)
    return sums.tolist()


def cores() -> int:
    """How many this process may use, at most 16: more would not be fed by one disk."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(16, max(2, usable or 1))


# -- what lies on the disk ---------------------------------------------------------------------------------------------


def _reserve(job: Job) -> None:
    """images.bin in its full length, where the disk has room for what is still to be written."""
    job.images_file.touch()
    held = min(job.bytes, getattr(job.images_file.stat(), "st_blocks", 0) * 512)
    free = shutil.disk_usage(job.folder).free
    if free < job.bytes - held:
        raise RelvitError(no_room(job, f", of which {size(free)} are free"))
    with open(job.images_file, "r+b") as file:
        file.truncate(job.bytes)  # sparse: takes no room yet


def no_room(job: Job, what: str) -> str:
    return (
        f"the disk of {job.folder} is full: {job.name} packed at {job.side} px takes {size(job.bytes)}{what}. Make "
        "room and start again (what is packed so far is kept), or give another data_dir"
    )


def size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.2g} MB"


@contextmanager
def explained(job: Job) -> Iterator[None]:
    """OSErrors of the store as one sentence that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RelvitError(no_room(job, "")) from error
        raise RelvitError(
            f"{job.folder} cannot be written ({error.strerror or error}), and {job.name} is to be packed there "
            f"({size(job.bytes)}): make data_dir writable, or give another data_dir"
        ) from error


def read_chunks(job: Job) -> dict[int, dict]:
    """The records of chunks.jsonl by chunk, the latest of each; lines that a kill tore are passed over."""
    found: dict[int, dict] = {}
    try:
        lines = (job.folder / "chunks.jsonl").read_text("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return found
    for line in lines:
        try:
            record = json.loads(line)
            found[int(record["chunk"])] = record
        except (ValueError, KeyError, TypeError):
            continue
    return found


def combined(digests: list[str]) -> str:
    """One digest of all chunks."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _digest_in_file(job: Job, chunk: int) -> str:
    with open(job.images_file, "rb") as file:
        of = job.chunk(chunk)
        file.seek(of.start * job.image_bytes)
        return hashlib.sha256(file.read((of.stop - of.start) * job.image_bytes)).hexdigest()


def intact(job: Job, digest: str, progress: bool | None) -> bool:
    """Whether images.bin holds what `digest` says. All of it is read, unless it was checked and has not changed."""
    try:
        stamp = _stamp(job)
    except OSError:
        return False
    if stamp["size"] != job.bytes:
        return False
    if read_json(job.folder / "verified.json") == stamp:
        return True
    with ThreadPoolExecutor(cores()) as pool:
        tasks = [pool.submit(_digest_in_file, job, chunk) for chunk in range(job.chunks)]
        same = combined(list(_results(job, tasks, "checking packed images", progress))) == digest
    if same:
        remember(job)
    return same


def remember(job: Job) -> None:
    """That images.bin, as it is now, has been checked. Where that cannot be written it is checked each time."""
    with suppress(OSError):
        write_json(job.folder / "verified.json", _stamp(job))


def _stamp(job: Job) -> dict:
    about = job.images_file.stat()
    return {"size": about.st_size, "mtime_ns": about.st_mtime_ns}


def read_json(path: Path) -> dict | None:
    """What write_json wrote; None where that is not there or damaged."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def write_json(path: Path, value: dict) -> None:
    write_whole(path, json.dumps(value, indent=1))
