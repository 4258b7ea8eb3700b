"""Several devices: data parallel training, one process a device, as torchrun starts them.

Every process has the whole model and its share of each batch. Draws are made for the whole batch (randomness.py), the
gradients and losses are means over it, so that training is that of one device, up to rounding, where there is no
dropout. A checkpoint has no trace of how many there were.
"""

import atexit
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from inspect import signature
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from relvit_lab.common.compute.device import Device, one_device
from relvit_lab.common.errors import RelvitError
from relvit_lab.common.process import processes
from relvit_lab.common.randomness import Share
from relvit_lab.common.signals import Terminated

PATIENCE = timedelta(days=2)  # that processes wait for one another: one may be packing a data set meanwhile
Value = TypeVar("Value")


class LostPeer(SystemExit):
    """Another process has failed, and says why: this one ends without a word."""

    def __init__(self) -> None:
        super().__init__(1)


_store: dist.Store | None = None  # outlives the group: who fails says so in it


@dataclass(frozen=True)
class Devices(Device):
    """This process's device of several, and what they do together. Every process calls the same in the same order.

    On the CPU they talk through gloo, which costs a GPU no waiting, GPUs through NCCL. asked: the question on its way,
    if there is one: see `agree`.
    """

    asked: list[tuple[dist.Work, Tensor]] = field(default_factory=list, kw_only=True, repr=False, compare=False)

    @property
    def description(self) -> str:
        return f"{self.share.world} x {super().description}"

    def wrap(self, model: nn.Module) -> nn.Module:
        """Takes the main process's weights. Raises RelvitError where images of a batch see one another."""
        norms = [name for name, module in model.named_modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
        if norms:
            raise RelvitError(
                f"{norms[0]} is a batch norm, whose result depends on how many images a device has: train this "
                "backbone on one device, without torchrun"
            )
        names = signature(DistributedDataParallel).parameters
        buffers = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"  # since torch 2.14
        without: dict[str, Any] = {buffers: False}
        # static_graph: a task's head may have weights that its loss does not use; heads are called beside the model
        return DistributedDataParallel(
            model,
            device_ids=[self.torch.index] if self.torch.type == "cuda" else None,
            static_graph=True,
            gradient_as_bucket_view=True,
            **without,
        )

    def backward(self, loss: Tensor, batch: int) -> None:
        # gradients are averaged over the devices, whose shares differ in size
        (loss * (self.share.images(batch) * self.share.world / batch)).backward()

    def means(self, values: dict[str, Tensor], batch: int) -> dict[str, Tensor]:
        part = self.share.images(batch) / batch
        return self.summed({name: value.detach().double() * part for name, value in values.items()})

    def summed(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        if not values:
            return values
        sums = torch.stack([value.detach().double() for value in values.values()])
        dist.all_reduce(sums)
        return dict(zip(values, sums.unbind()))

    def from_main(self, get: Callable[[], Value]) -> Value:
        box: list[Any] = [get() if self.is_main else None]
        dist.broadcast_object_list(box, src=0, device=torch.device("cpu"))
        return box[0]

    def agree(self, asked: int | None) -> int | None:
        """The answer is of one call ago, so that nobody waits for it; a signal is obeyed one step later."""
        answer = self._answer()
        said = torch.tensor(asked or 0)
        work = dist.all_reduce(said, dist.ReduceOp.MAX, async_op=True)
        self.asked.append((work, said))
        return answer

    def _answer(self) -> int | None:
        if not self.asked:
            return None
        work, said = self.asked.pop()
        work.wait()
        return int(said) or None

    def end(self, error: BaseException | None = None) -> None:
        """All wait for the last. With an error this process leaves the others, which then find it gone and end too."""
        if error is None or isinstance(error, Terminated):  # which all have agreed on
            self._answer()
            dist.all_reduce(torch.zeros(1))
            return
        _leave(broken=True)
        if isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error)):
            raise LostPeer from None


def join(name: str, precision: str) -> Devices:
    """Meet the processes that torchrun has started, and take this one's device. Raises RelvitError."""
    global _store
    if name not in ("auto", "cpu", "cuda"):
        raise RelvitError(f"device '{name}': under torchrun each process takes its own; leave device out, or say cpu")
    on_gpu = torch.cuda.is_available() if name == "auto" else name == "cuda"
    if not dist.is_initialized():
        _store, rank, world = next(dist.rendezvous("env://", timeout=PATIENCE))
        backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
        dist.init_process_group(backend, store=_store, rank=rank, world_size=world, timeout=PATIENCE)
        atexit.register(_leave)
    if on_gpu:
        index, there = int(os.environ.get("LOCAL_RANK", 0)), torch.cuda.device_count()
        if index >= there:
            raise RelvitError(f"more processes than GPUs on this machine: torchrun --nproc_per_node={there}")
        torch.cuda.set_device(index)
        name = f"cuda:{index}"
    own = one_device("cpu" if name == "auto" else name, precision)
    return Devices(own.torch, own.precision, Share(*processes()))


def first_to_fail() -> bool:
    """Whether no other process has asked this before: that one says what went wrong. Before they have met, the main
    process does, for all of them then fail alike."""
    try:
        return _store.add("failed", 1) == 1 if _store else processes()[0] == 0
    except RuntimeError:  # the store went with the process that held it
        return True


def _leave(broken: bool = False) -> None:
    """End the connections. NCCL's would wait for what a lost process still owes: those end with this process."""
    if dist.is_initialized() and not (broken and dist.is_nccl_available() and "nccl" in dist.get_backend_config()):
        dist.destroy_process_group()
