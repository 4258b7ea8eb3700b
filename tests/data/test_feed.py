"""Batches are the same whichever way they reach the device; threads end; errors arrive as themselves."""

import threading
import time
from contextlib import closing

import numpy as np
import pytest
import torch
from PIL import Image

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.randomness import epoch_order
from relvit_lab.data import feed, packed
from relvit_lab.data.base import Files, FileSet, Split
from relvit_lab.data.feed import FileFeed, SplitFeed
from relvit_lab.data.images import decode_image

CPU = torch.device("cpu")
COUNT = 11


@pytest.fixture
def split():
    return Split(torch.arange(COUNT * 3 * 4, dtype=torch.uint8).view(COUNT, 3, 2, 2), torch.arange(COUNT) % 5)


@pytest.fixture
def folder(tmp_path):
    for n in range(COUNT):
        small = np.random.default_rng(n).integers(0, 256, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(small).resize((24 + n, 20), Image.Resampling.BICUBIC).save(tmp_path / f"{n}.png")
    return tmp_path


def files_feed(folder, *, key=(0, "train"), rows=None, flip=True):
    files = Files(tuple(f"{n}.png" for n in range(COUNT)), tuple(n % 5 for n in range(COUNT)))
    return FileFeed(files, folder, 16, flip, key, CPU, rows)


def own_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("relvit-feed")]


def assert_same(one, two):
    one, two = list(one), list(two)
    assert len(one) == len(two)
    for (images, labels), (others, other_labels) in zip(one, two):
        assert torch.equal(images, others) and torch.equal(labels, other_labels)


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("rows", [None, torch.tensor([1, 4, 5, 8, 10])])
@pytest.mark.parametrize("first", [0, 1, 2, 5])
def test_batches_of_a_split(split, resident, rows, first):
    mine = SplitFeed(split, CPU, rows, resident)
    chosen = torch.arange(COUNT) if rows is None else rows
    order = epoch_order(0, "train", 3, len(chosen))
    assert len(mine) == len(chosen) and torch.equal(mine.labels, split.labels[chosen])
    for given, visited in ((order, chosen[order]), (None, chosen)):
        expected = [(split.images[part], split.labels[part]) for part in visited.split(3)[first:]]
        assert_same(mine.batches(given, 3, first), expected)
    assert own_threads() == []


@pytest.mark.parametrize("resident", [True, False])
def test_a_packed_map_can_be_fed(folder, tmp_path_factory, resident):
    files = files_feed(folder).files
    fileset = FileSet("set", folder, files, files, ("a",) * 5)
    dataset = packed.load(fileset, tmp_path_factory.mktemp("data"), 8, progress=False)
    (images, labels), *_ = SplitFeed(dataset.train, CPU, resident=resident).batches(torch.tensor([7, 2]), 2)
    assert torch.equal(images, torch.stack([torch.tensor(decode_image(folder / f"{n}.png", 8)) for n in (7, 2)]))
    assert labels.tolist() == [2, 2]


def test_batches_are_the_callers_own(split):
    before = split.images.clone()
    for resident in (True, False):
        for images, _ in SplitFeed(split, CPU, resident=resident).batches(torch.arange(COUNT), 4):
            images.zero_()
    assert torch.equal(split.images, before)


# -- where the images lie ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("free, expected", [(1000, True), (999, False), (0, False)])
def test_a_set_goes_to_a_gpu_where_half_of_its_free_memory_holds_it(monkeypatch, free, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**6))
    assert feed.fits(500, torch.device("cuda:0")) is expected


@pytest.mark.parametrize("holds", [True, False])
def test_the_feed_chooses_by_what_fits(split, monkeypatch, holds):
    """The meta device stands for a GPU: what is moved there says so."""
    asked = []
    monkeypatch.setattr(feed, "fits", lambda size, device: asked.append((size, device.type)) or holds)
    mine = SplitFeed(split, torch.device("meta"), torch.arange(4))
    assert asked == [(4 * 12, "meta")] and mine.resident is holds
    assert mine.images.device.type == ("meta" if holds else "cpu") and mine.labels.device.type == "meta"


@pytest.mark.parametrize("side, resident", [(32, True), (180, True), (190, False), (256, False)])
def test_on_a_cpu_photographs_are_gathered_meanwhile(monkeypatch, side, resident):
    monkeypatch.setattr(feed, "fits", lambda size, device: pytest.fail("asks a GPU"))
    split = Split(torch.zeros(1, dtype=torch.uint8).expand(5, 3, side, side), torch.arange(5))
    mine = SplitFeed(split, CPU)
    assert mine.resident is resident and mine.images is split.images


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("resident", [True, False])
def test_batches_on_a_gpu(split, resident):
    device = torch.device("cuda")
    mine = SplitFeed(split, device, torch.arange(9), resident)
    order = epoch_order(0, "train", 0, 9)
    for (images, labels), part in zip(mine.batches(order, 2), order.split(2), strict=True):
        assert images.device.type == labels.device.type == "cuda"
        assert torch.equal(images.cpu(), split.images[part]) and torch.equal(labels.cpu(), split.labels[part])


# -- originals, cropped anew -------------------------------------------------------------------------------------------


def test_crops_depend_on_the_epoch_and_the_image_alone(folder):
    order = epoch_order(0, "train", 1, COUNT)
    whole = list(files_feed(folder).batches(order, 4, epoch=1))
    assert [len(labels) for _, labels in whole] == [4, 4, 3]
    assert_same(files_feed(folder).batches(order, 4, first=1, epoch=1), whole[1:])  # resumed
    images, labels = (torch.cat(parts) for parts in zip(*whole))
    assert images.dtype == torch.uint8 and images.shape == (COUNT, 3, 16, 16)
    assert labels.tolist() == [n % 5 for n in order.tolist()]
    ((backwards, _),) = files_feed(folder).batches(order.flip(0), COUNT, epoch=1)  # another order, other batches
    assert torch.equal(backwards.flip(0), images)
    rows = torch.tensor([2, 3, 9])
    ((some, _),) = files_feed(folder, rows=rows).batches(torch.arange(3), 3, epoch=1)  # fewer labels
    places = [order.tolist().index(row) for row in rows.tolist()]
    assert torch.equal(some, images[places])
    for other in (files_feed(folder, key=(1, "train")), files_feed(folder, key=(0, "other"))):
        assert not torch.equal(next(other.batches(order, COUNT, epoch=1))[0], images)
    assert not torch.equal(next(files_feed(folder).batches(order, COUNT, epoch=2))[0], images)


def test_crops_are_windows_of_the_originals(folder):
    """Each is RandomResizedCrop's own: drawn again here, and cut by torchvision."""
    from torchvision.transforms.functional import hflip, pil_to_tensor, resized_crop

    from relvit_lab.common.randomness import generator
    from relvit_lab.method.augment import draw_windows

    ((images, _),) = files_feed(folder).batches(torch.arange(COUNT), COUNT, epoch=4)
    mirrors = []
    for n, image in enumerate(images):
        original = Image.open(folder / f"{n}.png")
        draws = generator(0, "train", "window", 4, n)
        windows = draw_windows(1, original.height, original.width, crop="resized", flip=True, generator=draws)
        *window, mirrored = (values.item() for values in windows)
        expected = resized_crop(original, *window, [16, 16])
        assert torch.equal(image, pil_to_tensor(hflip(expected) if mirrored else expected))
        mirrors.append(mirrored)
    assert 0 < sum(mirrors) < COUNT


def test_no_flip_where_mirrored_images_mean_something_else(folder, monkeypatch):
    seen = []
    decode = feed.decode_window

    def watched(path, size, window):
        return decode(path, size, lambda *sides: seen.append(window(*sides)) or seen[-1])

    monkeypatch.setattr(feed, "decode_window", watched)
    list(files_feed(folder, flip=False).batches(torch.arange(COUNT), 4))
    assert len(seen) == COUNT and not any(mirrored for *_, mirrored in seen)


def test_without_an_order_originals_come_as_they_would_be_packed(folder):
    images = torch.cat([images for images, _ in files_feed(folder).batches(None, 4)])
    assert torch.equal(images, torch.stack([torch.tensor(decode_image(folder / f"{n}.png", 16)) for n in range(COUNT)]))
    ((some, labels),) = files_feed(folder, rows=torch.tensor([3, 6])).batches(None, 4)
    assert torch.equal(some, images[[3, 6]]) and labels.tolist() == [3, 1]


# -- threads and errors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["split", "files"])
def test_threads_end_when_the_iterator_is_closed(split, folder, kind):
    mine = SplitFeed(split, CPU, resident=False) if kind == "split" else files_feed(folder)
    with closing(mine.batches(torch.arange(COUNT), 2)) as batches:
        next(batches)
        assert own_threads()
    assert own_threads() == []


def test_threads_end_at_an_interrupt(folder):
    with pytest.raises(KeyboardInterrupt), closing(files_feed(folder).batches(torch.arange(COUNT), 2)) as batches:
        for _ in batches:
            raise KeyboardInterrupt
    assert own_threads() == []


def test_an_interrupt_while_waiting_for_a_batch(folder, monkeypatch, as_in_a_terminal):
    """The next batches are in work then; nothing of them is left."""
    import _thread

    def slow(path, size, window):
        if path.name == "4.png":
            _thread.interrupt_main()
        time.sleep(0.05)
        return np.zeros((3, size, size), np.uint8)

    monkeypatch.setattr(feed, "decode_window", slow)
    with pytest.raises(KeyboardInterrupt):
        list(files_feed(folder).batches(torch.arange(COUNT), 2))
    assert own_threads() == []


def test_a_broken_original_is_named(folder):
    (folder / "6.png").write_bytes((folder / "6.png").read_bytes()[:50])
    got = []
    with pytest.raises(RelvitError, match=r"cannot read the image .*6\.png"):
        for images, _ in files_feed(folder).batches(torch.arange(COUNT), 2):
            got.append(images)
    assert len(got) == 3 and own_threads() == []


def test_an_error_of_a_thread_arrives_as_itself(split, monkeypatch):
    mine = SplitFeed(split, CPU, resident=False)
    with pytest.raises(IndexError):
        list(mine.batches(torch.tensor([0, 1, 99]), 1))
    assert own_threads() == []

    def lost(*args):
        raise MemoryError("no room")

    monkeypatch.setattr(feed, "_host_buffer", lost)
    with pytest.raises(MemoryError, match="no room"):
        next(mine.batches(None, 2))
    assert own_threads() == []


@pytest.mark.parametrize("kind", ["split", "files"])
def test_the_next_batches_are_prepared_meanwhile(split, folder, kind, monkeypatch):
    """And no more than AHEAD of them, however slow the step is."""
    begun = []
    buffer = feed._host_buffer
    monkeypatch.setattr(feed, "_host_buffer", lambda *args: begun.append(args) or buffer(*args))
    mine = SplitFeed(split, CPU, resident=False) if kind == "split" else files_feed(folder)
    with closing(mine.batches(torch.arange(COUNT), 2)) as batches:
        for done in range(1, 7):
            next(batches)
            assert len(begun) == min(6, done + feed.AHEAD)


# -- whole runs --------------------------------------------------------------------------------------------------------


def trained(folder, run_dir, stop=None, **fields):
    """The weights after a smoke run on a folder of photographs; broken off and resumed after `stop` steps."""
    from safetensors.torch import load_file

    from relvit_lab.train import clock
    from relvit_lab.train.events import StageFinished, StepDone
    from relvit_lab.train.experiment import Experiment
    from relvit_lab.train.training import run

    experiment = Experiment(
        dataset=str(folder), preset="smoke", scenario="supervised", image_size=32, patch_size=8, batch_size=4, epochs=2,
        run_dir=str(run_dir), **fields,
    )  # fmt: skip
    if stop is not None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(clock, "SHOW_EVERY", 0.0)  # a record after each step
            records = run(experiment)
            for record in records:
                if isinstance(record, StepDone) and record.step == stop:
                    records.close()
        assert record.step == stop and own_threads() == []  # it ended there
    *_, last = run(experiment)
    assert isinstance(last, StageFinished) and own_threads() == []
    return load_file(last.folder / "model.safetensors")


@pytest.fixture
def photographs(tmp_path):
    for n in range(26):
        path = tmp_path / "photographs" / ("test" if n >= 18 else "train") / "ab"[n % 2] / f"{n}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        small = np.random.default_rng(n).integers(0, 256, (5, 6, 3), dtype=np.uint8)
        Image.fromarray(small).resize((60 + n, 50), Image.Resampling.BICUBIC).save(path)
    return tmp_path / "photographs"


@pytest.mark.parametrize("source", ["packed", "files"])
def test_a_run_that_was_interrupted_goes_on_to_the_same_bits(photographs, tmp_path, source, monkeypatch):
    monkeypatch.setattr(feed, "SMALL", 0)  # batches are gathered by a thread
    whole = trained(photographs, tmp_path / "one", data_source=source)
    resumed = trained(photographs, tmp_path / "two", stop=3, data_source=source)
    assert whole.keys() == resumed.keys() and all(torch.equal(whole[name], resumed[name]) for name in whole)
    monkeypatch.undo()
    indexed = trained(photographs, tmp_path / "three", data_source=source)  # by the main thread, where it is packed
    assert all(torch.equal(whole[name], indexed[name]) for name in whole)


def test_originals_are_cropped_by_the_feed_alone(photographs, tmp_path, monkeypatch):
    """The pipeline neither crops nor mirrors them again, nor what evaluation looks at, which is packed."""
    import relvit_lab.method.pipeline as module

    crops = []
    augment = module.image_augment

    def watched(images, size, windows, **options):
        crops.append((options["crop"], bool(windows.flip.any()), tuple(images.shape[1:])))
        return augment(images, size, windows, **options)

    monkeypatch.setattr(module, "image_augment", watched)
    one = trained(photographs, tmp_path / "one", data_source="files")
    assert set(crops) == {("none", False, (3, 32, 32))}
    other = trained(photographs, tmp_path / "two", data_source="packed")
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_originals_are_cropped_as_resized_crops_only(photographs, tmp_path):
    with pytest.raises(RelvitError, match=r"data_source files crops each original anew .*not padded"):
        trained(photographs, tmp_path, data_source="files", image_crop="padded")
