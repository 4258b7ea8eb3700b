"""The packed store: what it holds, that any end leaves it whole or to be gone on with, and that damage is noticed."""

import errno
import json
import os
import shutil
import signal
import time
from pathlib import Path

import forked
import numpy as np
import pytest
import torch
from PIL import Image

from relvit_lab.common.errors import RelvitError
from relvit_lab.data import packed, packing
from relvit_lab.data.base import Files, FileSet, mean_std
from relvit_lab.data.images import decode_image

COUNTS = {"train": 9, "test": 4, "val": 3}


def photo(seed, width=20, height=16):
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(packing, "CHUNK", 3)


@pytest.fixture
def fileset(tmp_path):
    root, splits, seed = tmp_path / "originals", {}, 0
    for split, count in COUNTS.items():
        names = tuple(f"{split}/{n}.png" for n in range(count))
        (root / split).mkdir(parents=True)
        for name in names:
            photo(seed).save(root / name)
            seed += 1
        splits[split] = Files(names, tuple(n % 2 for n in range(count)))
    return FileSet("some photos", root, classes=("a", "b"), **splits)


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that were decoded."""
    seen = []

    def watched(path, size):
        seen.append(f"{path.parent.name}/{path.name}")
        return decode_image(path, size)

    monkeypatch.setattr(packing, "decode_image", watched)
    return seen


def load(fileset, data_dir, image_size=8, **options):
    return packed.load(fileset, data_dir, image_size, progress=False, **options)


def store(data_dir):
    (folder,) = (data_dir / "packed").iterdir()
    return folder


def expected(fileset, split, size):
    return torch.from_numpy(
        np.stack([decode_image(fileset.root / name, size) for name in getattr(fileset, split).names])
    )


def same(one, two):
    assert one.digest == two.digest and (one.mean, one.std) == (two.mean, two.std)
    for split in COUNTS:
        assert torch.equal(getattr(one, split).images, getattr(two, split).images)


def test_a_store_holds_the_decoded_images_and_labels(fileset, data_dir):
    dataset = load(fileset, data_dir)
    for split in COUNTS:
        mine, theirs = getattr(dataset, split), expected(fileset, split, 8)
        assert torch.equal(mine.images, theirs)
        assert mine.labels.tolist() == list(getattr(fileset, split).labels)
    assert (dataset.mean, dataset.std) == mean_std(expected(fileset, "train", 8))  # exactly
    assert dataset.classes == ("a", "b") and dataset.centre is None and dataset.files is None
    index = json.loads((store(data_dir) / "index.json").read_text())
    assert index["counts"] == COUNTS and index["side"] == 8 and store(data_dir).name.startswith("some_photos-8-")
    assert (store(data_dir) / "images.bin").stat().st_size == sum(COUNTS.values()) * 3 * 8 * 8


def test_known_normalisation_is_kept(fileset, data_dir):
    known = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    dataset = load(FileSet(**vars(fileset) | {"normalisation": known}), data_dir)
    assert (dataset.mean, dataset.std) == known


@pytest.mark.parametrize("image_size, side", [(64, 64), (223, 223), (224, 256), (448, 512)])
def test_large_images_are_packed_with_room_to_crop(image_size, side):
    assert packed.stored_side(image_size) == side


def test_the_centre_is_said(tmp_path, data_dir):
    photo(0, 300, 260).save(tmp_path / "1.png")
    files = Files(("1.png",), (0,))
    dataset = load(FileSet("set", tmp_path, files, files, ("a",)), data_dir, 224)
    assert dataset.centre == 224 and dataset.image_size == 256 and dataset.val is None


def test_a_store_is_packed_once(fileset, data_dir, decoded):
    one = load(fileset, data_dir)
    assert len(decoded) == sum(COUNTS.values())
    same(load(fileset, data_dir), one)
    assert len(decoded) == sum(COUNTS.values())
    load(fileset, data_dir, 16)  # another side is another store
    assert len(decoded) == 2 * sum(COUNTS.values()) and len(list((data_dir / "packed").iterdir())) == 2


@pytest.mark.parametrize("change", ["content", "label", "time", "split"])
def test_another_listing_is_another_store(fileset, data_dir, decoded, change):
    one = load(fileset, data_dir)
    first = fileset.root / fileset.train.names[0]
    if change == "content":
        photo(99, 33, 20).save(first)
    elif change == "time":
        os.utime(first, (1, 1))
    elif change == "label":
        fileset = FileSet(**vars(fileset) | {"train": Files(fileset.train.names, (1,) * COUNTS["train"])})
    else:
        fileset = FileSet(**vars(fileset) | {"test": fileset.val, "val": fileset.test})
    two = load(fileset, data_dir)
    assert len(list((data_dir / "packed").iterdir())) == 2
    assert (one.digest == two.digest) == (change == "time")  # the same images and labels


def test_the_digest_does_not_depend_on_the_place(fileset, data_dir, tmp_path):
    one = load(fileset, data_dir)
    shutil.copytree(fileset.root, tmp_path / "elsewhere", copy_function=shutil.copy)  # with other times
    two = load(FileSet(**vars(fileset) | {"root": tmp_path / "elsewhere", "name": "other"}), tmp_path / "data 2")
    assert one.digest == two.digest


def test_the_splits_are_views_of_one_map(fileset, data_dir):
    dataset = load(fileset, data_dir)
    start = dataset.train.images.data_ptr()
    assert dataset.test.images.data_ptr() == start + dataset.train.images.nbytes  # views of one map
    assert dataset.train.images[torch.tensor([1, 0])].add_(1).shape == (2, 3, 8, 8)  # a batch is a copy


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_the_number_of_workers_changes_nothing(fileset, data_dir, tmp_path, workers):
    same(load(fileset, data_dir, workers=workers), load(fileset, tmp_path / "other"))


# -- broken images -----------------------------------------------------------------------------------------------------


def test_broken_images_are_named_and_what_was_packed_is_kept(fileset, data_dir, decoded):
    broken = fileset.root / fileset.train.names[4]
    whole = broken.read_bytes()
    broken.write_bytes(whole[:40])
    with pytest.raises(RelvitError, match="mend or remove") as error:
        load(fileset, data_dir)
    assert str(broken) in str(error.value) and "may be more" not in str(error.value)
    assert not (store(data_dir) / "index.json").exists()
    broken.write_bytes(whole)
    decoded.clear()
    dataset = load(fileset, data_dir)
    assert sorted(decoded) == [f"train/{n}.png" for n in (3, 4, 5)]  # its chunk alone
    assert len(list((data_dir / "packed").iterdir())) == 1  # the unfinished store became this one
    same(dataset, load(fileset, data_dir.parent / "other"))


def test_many_broken_images_stop_early(fileset, data_dir):
    for name in fileset.train.names:
        (fileset.root / name).write_text("no image")
    with pytest.raises(RelvitError, match="may be more") as error:
        load(fileset, data_dir)
    assert str(error.value).count(f"{fileset.root}/train/") == 2 * packing.MANY_BROKEN  # Pillow names it, too


def test_missing_images_are_named(fileset, data_dir):
    gone = fileset.root / fileset.val.names[1]
    gone.unlink()
    with pytest.raises(RelvitError, match="No such file") as error:
        load(fileset, data_dir)
    assert str(gone) in str(error.value) and not data_dir.exists()


# -- damage and interruptions ------------------------------------------------------------------------------------------


def test_damage_is_noticed_and_only_that_chunk_decoded_again(fileset, data_dir, decoded):
    one = load(fileset, data_dir)
    pixels = [split.images.clone() for split in (one.train, one.test)]
    file = store(data_dir) / "images.bin"
    with open(file, "r+b") as opened:
        opened.seek(5 * 3 * 8 * 8)  # in image 5, chunk 1
        opened.write(bytes(range(50)))
    os.utime(file, ns=(1, 1))
    decoded.clear()
    two = load(fileset, data_dir)
    assert sorted(decoded) == [f"train/{n}.png" for n in (3, 4, 5)]
    assert torch.equal(two.train.images, pixels[0]) and torch.equal(two.test.images, pixels[1])


@pytest.mark.parametrize("length", [0, 1000, 10_000])
def test_a_file_of_another_length_is_mended(fileset, data_dir, length):
    digest = load(fileset, data_dir).digest
    file = store(data_dir) / "images.bin"
    content = file.read_bytes()
    file.unlink()  # a new file: the old one is still mapped
    file.write_bytes((content + bytes(10_000))[:length])
    assert load(fileset, data_dir).digest == digest and file.read_bytes() == content


def test_a_copied_store_is_checked_once(fileset, data_dir, monkeypatch, decoded):
    load(fileset, data_dir)
    os.utime(store(data_dir) / "images.bin", ns=(1, 1))
    checked = []
    read = packing._digest_in_file
    monkeypatch.setattr(packing, "_digest_in_file", lambda job, chunk: checked.append(chunk) or read(job, chunk))
    decoded.clear()
    for _ in range(2):
        load(fileset, data_dir)
    assert sorted(checked) == list(range(6)) and decoded == []


@pytest.mark.parametrize("lost", ["chunks.jsonl", "index.json", "verified.json", "images.bin"])
def test_any_file_of_a_store_can_be_lost(fileset, data_dir, lost):
    digest = load(fileset, data_dir).digest
    (store(data_dir) / lost).unlink()
    assert load(fileset, data_dir).digest == digest


@pytest.mark.parametrize("name", ["chunks.jsonl", "index.json", "verified.json"])
def test_records_full_of_rubbish(fileset, data_dir, name):
    digest = load(fileset, data_dir).digest
    for rubbish in (b"", b"\x00\xff" * 50, b'{"chunk": 1', b"[1, 2]\n", b'{"chunk": 0, "files": 3}\n'):
        (store(data_dir) / name).write_bytes(rubbish)
        (store(data_dir) / "images.bin").touch()
        assert load(fileset, data_dir).digest == digest


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "tree"
    for n in range(60):
        path = root / ("train" if n < 40 else "val") / "ab"[n % 2] / f"{n:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo(n).save(path)
    return root


def begin(tree, data_dir):
    return forked.begin(forked.pack_slowly, tree, data_dir)[0]


def wait_for_chunks(data_dir, count):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        logs = list((data_dir / "packed").glob("*/chunks.jsonl"))
        if logs and logs[0].read_text().count('"sha256"') >= count:
            return
        time.sleep(0.01)
    raise AssertionError("nothing was packed")


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_process_is_gone_on_from(tree, data_dir, decoded, how):
    from relvit_lab.data import folder

    process = begin(tree, data_dir)
    wait_for_chunks(data_dir, 4)
    os.kill(process.pid, how)
    process.join(60)
    assert process.exitcode and not (store(data_dir) / "index.json").exists()
    dataset = load(folder.files(tree, "set"), data_dir)
    assert 0 < len(decoded) <= 60 - 4 * 3
    other = load(folder.files(tree, "set"), data_dir.parent / "other")
    assert dataset.digest == other.digest and dataset.mean == other.mean
    assert torch.equal(dataset.train.images, other.train.images)


def test_one_process_packs_and_another_waits(tree, data_dir, decoded, capfd):
    from relvit_lab.data import folder

    process = begin(tree, data_dir)
    wait_for_chunks(data_dir, 1)
    dataset = packed.load(folder.files(tree, "set"), data_dir, 8)
    assert decoded == [] and len(dataset.train) == 40
    process.join(60)
    assert process.exitcode == 0 and "waiting for another process that packs set" in capfd.readouterr().err


# -- disks -------------------------------------------------------------------------------------------------------------


def test_too_little_room_is_said_before_anything_is_decoded(fileset, data_dir, decoded, monkeypatch):
    monkeypatch.setattr(packing.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**6, 10**6 - 99, 99))
    with pytest.raises(RelvitError, match=r"takes 0\.0?\d* MB, of which .* free.*Make room") as error:
        load(fileset, data_dir)
    assert "some photos" in str(error.value) and decoded == []


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_while_packing(fileset, data_dir, decoded, monkeypatch, code):
    room = [3]

    def write(job, chunk, images):
        if not room[0]:
            raise OSError(code, "No space left on device")
        room[0] -= 1
        real(job, chunk, images)

    real = packing._write_chunk
    with monkeypatch.context() as patch:
        patch.setattr(packing, "_write_chunk", write)
        with pytest.raises(RelvitError, match=r"is full.*takes.*Make room"):
            load(fileset, data_dir, workers=1)
    assert not (store(data_dir) / "index.json").exists()
    decoded.clear()
    same(load(fileset, data_dir), load(fileset, data_dir.parent / "other"))
    assert len(decoded) == 2 * sum(COUNTS.values()) - 9  # three chunks were kept


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_device_that_is_full(fileset, data_dir, monkeypatch):
    monkeypatch.setattr(packing.Job, "images_file", Path("/dev/full"))
    monkeypatch.setattr(packing, "_reserve", lambda job: None)
    with pytest.raises(RelvitError, match="is full"):
        load(fileset, data_dir)


def test_a_data_dir_that_cannot_be_written(fileset, data_dir, monkeypatch):
    def refuse(self, *args, **options):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(RelvitError, match=r"Read-only file system.*make data_dir writable, or give another"):
        load(fileset, data_dir)


def test_a_store_on_a_read_only_disk_is_used(fileset, data_dir, monkeypatch):
    one = load(fileset, data_dir)
    os.utime(store(data_dir) / "images.bin", ns=(1, 1))

    def refuse(path, value):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(packing, "write_json", refuse)
    monkeypatch.setattr(Path, "mkdir", lambda *args, **options: pytest.fail("makes a folder"))
    same(load(fileset, data_dir), one)


# -- data_source files -------------------------------------------------------------------------------------------------


def test_only_the_images_of_evaluation_are_packed_where_originals_are_cropped(fileset, data_dir, decoded):
    known = FileSet(**vars(fileset) | {"normalisation": ((0.5,) * 3, (0.2,) * 3)})
    dataset = load(known, data_dir, source="files")
    assert dataset.files is known and not any(name.startswith("train") for name in decoded)
    assert len(dataset.train) == 9 and dataset.train.labels.tolist() == list(known.train.labels)
    assert dataset.train.images.untyped_storage().nbytes() == 1 and dataset.image_size == 8
    assert torch.equal(dataset.test.images, expected(fileset, "test", 8))
    assert torch.equal(dataset.val.images, expected(fileset, "val", 8))
    photo(99, 33, 20).save(known.root / known.train.names[0])
    assert load(known, data_dir, source="files").digest != dataset.digest


def test_unknown_mean_and_std_need_the_training_images(fileset, data_dir):
    dataset = load(fileset, data_dir, source="files")
    assert dataset.files is fileset and (dataset.mean, dataset.std) == mean_std(expected(fileset, "train", 8))
