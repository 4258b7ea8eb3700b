"""torch.compile: whether there is a compiler, where its code is kept, and what it says that fails."""

import logging
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from relvit_lab.common.errors import RelvitError, first_line

VARIANTS = 64  # of a compiled function: shapes, with and without gradients, Swin's stages


def missing_compiler(device: torch.device) -> str:
    """Why nothing can be compiled here; "" where there is a compiler."""
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        return "" if has_triton() else "no triton for this GPU"
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return "no C++ compiler: g++ or clang"
    return ""


def cache_folder() -> Path:
    """Where compiled code is kept for the next run: torch's own variable TORCHINDUCTOR_CACHE_DIR, else the user's
    folder for caches."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("TORCHINDUCTOR_CACHE_DIR") or Path(user) / "relvit_lab" / "compiled")


def set_up_compiler() -> None:
    """For this process: where code is kept, and that what it computes is what plain code does."""
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(cache_folder())
    import torch._dynamo.config
    import torch._inductor.config as inductor

    torch._dynamo.config.recompile_limit = VARIANTS
    inductor.fallback_random = True  # dropout draws what it draws in plain code
    inductor.cpp.threads = torch.get_num_threads()  # part of the cache's key: another number rounds otherwise
    inductor.compile_threads = 1  # no processes of its own: one block is soon done
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # "No CUDA runtime is found"


def compile_now(first_pass: Callable[[], object]) -> None:
    """Call what compiles all that a stage needs. Where that fails, once more without the code that was kept: a process
    that was killed may have left some half written. Raises RelvitError where it fails again."""
    try:
        first_pass()
    except RelvitError:
        shutil.rmtree(cache_folder(), ignore_errors=True)
        torch._dynamo.reset()
        first_pass()


@contextmanager
def explained() -> Iterator[None]:
    """What a compiler says that is missing or fails, in words that say what to do."""
    try:
        yield
    except RuntimeError as error:
        if not type(error).__module__.startswith(("torch._inductor", "torch._dynamo")):
            raise
        reason = first_line(error)
        raise RelvitError(f"compile=True does not work here ({reason}): leave compile out") from error
