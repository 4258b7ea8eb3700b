"""§4.1 (what the pipeline is fed with): an epoch's batches on the device, from its own memory, the host's, or files.

The batches are the same whichever way they take. Where the images lie on the device they are only indexed. Else threads
prepare the next batches while the device computes, and they reach a GPU through pinned memory.
"""

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.randomness import WHOLE, Share, generator
from relvit_lab.data.base import Files, Split
from relvit_lab.data.images import decode_image, decode_window
from relvit_lab.data.packed import stored_side
from relvit_lab.data.packing import cores
from relvit_lab.method.augment import draw_windows

AHEAD = 2  # batches that are prepared while one computes
SMALL = 100_000  # bytes: on a CPU, such images are quicker gathered at once than by a thread beside the step
SHARE = 0.5  # of a GPU's free memory that images may take: the model and what it computes need the rest

Filling = tuple[Tensor, list[Future]]  # the images of a batch, and who is filling them


class Feed:
    """n images for a device. labels: (n,) int64, on the device."""

    def __init__(self, labels: Tensor, rows: Tensor | None, device: torch.device) -> None:
        """labels: of all images there are; rows: (n,) int64, which of them this feed is of (None: all)."""
        self.device = torch.empty(0, device=device).device  # "cuda" -> "cuda:0"
        self.rows = rows
        self.labels = (labels if rows is None else labels[rows.to(labels.device)]).to(self.device)

    def __len__(self) -> int:
        return len(self.labels)

    def batches(
        self, order: Tensor | None, batch_size: int, first: int = 0, epoch: int = 0, share: Share = WHOLE
    ) -> Generator[tuple[Tensor, Tensor], None, None]:
        """Images (B, C, H, W) uint8 and labels (B,) on the device, from batch `first` on; the last one may be smaller.

        order: (k,) int64, which to visit in which order; None: all as they lie, for evaluation. epoch: from 0, for
        images that are cropped anew in each. share: of every batch only this device's part is prepared.
        Close it where it is not used up (contextlib.closing): its threads end.
        """
        count = len(self) if order is None else len(order)
        starts = range(first * batch_size, count, batch_size)
        mine = [(start, share.rows(min(batch_size, count - start))) for start in starts]
        parts = [slice(start + rows.start, start + rows.stop) for start, rows in mine]
        labels = self.labels if order is None else self.labels[order.to(self.device)]
        with closing(self._images(order, parts, epoch)) as batches:
            for part, images in zip(parts, batches):
                yield images, labels[part]

    def _images(self, order: Tensor | None, parts: list[slice], epoch: int) -> Generator[Tensor, None, None]:
        raise NotImplementedError

    def _visited(self, order: Tensor | None, device: torch.device) -> Tensor | None:
        """Which of all images are visited in which order; None: all as they lie."""
        rows, order = (None if places is None else places.to(device) for places in (self.rows, order))
        return order if rows is None else rows if order is None else rows[order]


class SplitFeed(Feed):
    """Images of a split. resident: whether they lie on the device, where batches are only indexed; None: as is faster.

    On a GPU that is where they fit. On a CPU they stay where they are, a map included, and photographs are gathered by
    a thread meanwhile: that took a quarter off the time of the pipeline at 224 px.
    """

    def __init__(
        self, split: Split, device: torch.device, rows: Tensor | None = None, resident: bool | None = None
    ) -> None:
        super().__init__(split.labels, rows, device)
        self.images = split.images
        there, image = self.images.device == self.device, self.images[0].nbytes
        if resident is None:
            on_gpu = self.device.type not in ("cpu", "mps")  # a Mac's GPU shares the memory
            resident = there or fits(len(self) * image, self.device) if on_gpu else image < SMALL
        self.resident = resident
        if resident and not there:
            chosen = self.images if rows is None else self.images[rows]
            self.images, self.rows = chosen.to(self.device), None

    def _images(self, order: Tensor | None, parts: list[slice], epoch: int) -> Generator[Tensor, None, None]:
        visited = self._visited(order, self.images.device)

        if self.resident:
            return (self.images[part if visited is None else visited[part]] for part in parts)

        def fill(batch: Tensor, part: slice) -> None:
            if visited is None:
                batch.copy_(self.images[part])
            else:  # straight into the batch: memory of a thread's own is given back and got again each time
                torch.index_select(self.images, 0, visited[part], out=batch)

        def begin(pool: ThreadPoolExecutor, part: slice) -> Filling:
            batch = _host_buffer((part.stop - part.start, *self.images.shape[1:]), self.device)
            return batch, [pool.submit(fill, batch, part)]

        return _ahead(1, parts, begin, self.device)


class FileFeed(Feed):
    """Training images that are cropped anew from their originals: RandomResizedCrop and flip, each epoch its own.

    They come as uint8 at `size`, so the pipeline must not crop or mirror them again. An image's window depends on
    (*key, epoch, its index) alone. Without an order, they come as they would be packed.
    """

    def __init__(
        self, files: Files, root: Path, size: int, flip: bool, key: tuple, device: torch.device,
        rows: Tensor | None = None,
    ) -> None:  # fmt: skip
        """key: what the draws depend on, (seed, stage)."""
        super().__init__(torch.tensor(files.labels), rows, device)
        self.files, self.root, self.size, self.flip, self.key = files, root, size, flip, key

    def _images(self, order: Tensor | None, parts: list[slice], epoch: int) -> Generator[Tensor, None, None]:
        """Raises RelvitError, by name, for a file that cannot be read."""
        from PIL import Image

        Image.init()  # loads its formats, which threads must not do at once
        visited = self._visited(order, torch.device("cpu"))
        rows = list(range(len(self))) if visited is None else visited.tolist()
        side = stored_side(self.size) if order is None else self.size

        def fill(image: Tensor, row: int) -> None:
            path = self.root / self.files.names[row]
            try:
                if order is None:
                    pixels = decode_image(path, side)
                else:
                    pixels = decode_window(path, side, lambda height, width: self._window(height, width, epoch, row))
            except MemoryError:
                raise RelvitError(f"there is not enough memory to read {path}: shrink it, or leave it out") from None
            except Exception as error:  # a damaged file can make Pillow raise nearly anything
                raise RelvitError(f"cannot read the image {path} ({str(error) or type(error).__name__})") from error
            image.numpy()[...] = pixels

        def begin(pool: ThreadPoolExecutor, part: slice) -> Filling:
            batch = _host_buffer((part.stop - part.start, 3, side, side), self.device)
            return batch, [pool.submit(fill, image, row) for image, row in zip(batch, rows[part])]

        return _ahead(cores(), parts, begin, self.device)

    def _window(self, height: int, width: int, epoch: int, row: int) -> tuple[int, int, int, int, bool]:
        draws = generator(*self.key, "window", epoch, row)
        drawn = draw_windows(1, height, width, crop="resized", flip=self.flip, generator=draws)
        return int(drawn.top), int(drawn.left), int(drawn.height), int(drawn.width), bool(drawn.flip)


def fits(size: int, device: torch.device) -> bool:
    """Whether images of that many bytes may lie on a GPU beside all else."""
    return size <= SHARE * torch.cuda.mem_get_info(device)[0]


def _ahead(
    workers: int, parts: list[slice], begin: Callable[[ThreadPoolExecutor, slice], Filling], device: torch.device
) -> Generator[Tensor, None, None]:
    """The batch of each part in turn, while `workers` threads work on the next AHEAD ones.

    An error in a thread is raised here, as itself. The threads end with the iterator, however it ends.
    """
    copies = torch.cuda.Stream(device) if device.type == "cuda" else None
    pool = ThreadPoolExecutor(workers, thread_name_prefix="relvit-feed")
    waiting: deque[Filling] = deque()
    try:
        for part in parts:
            waiting.append(begin(pool, part))
            if len(waiting) > AHEAD:
                yield _filled(waiting.popleft(), copies, device)
        while waiting:
            yield _filled(waiting.popleft(), copies, device)
    finally:
        pool.shutdown(cancel_futures=True)


def _filled(filling: Filling, copies: "torch.cuda.Stream | None", device: torch.device) -> Tensor:
    batch, tasks = filling
    for task in tasks:
        task.result()
    if copies is None:
        return batch.to(device)
    with torch.cuda.stream(copies):  # beside what the device is computing, not after it
        sent = batch.to(device, non_blocking=True)
    current = torch.cuda.current_stream(device)
    current.wait_stream(copies)
    sent.record_stream(current)
    return sent


def _host_buffer(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """A new one for each batch: torch takes pinned memory up again once the copy out of it has ended."""
    return torch.empty(shape, dtype=torch.uint8, pin_memory=device.type == "cuda")
