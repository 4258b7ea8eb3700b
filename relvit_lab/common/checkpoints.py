"""The file of a checkpoint: written so that a full disk shows, checked to the last byte before it is read."""

import io
import zipfile
from pathlib import Path

import torch

from relvit_lab.common.errors import first_line


def save_state(state: dict, path: Path) -> None:
    """torch.save. Raises OSError as the system reports it: torch's own writer to a file would hide it."""
    out = io.BytesIO()
    torch.save(state, out)
    path.write_bytes(out.getbuffer())


def load_state(file: Path) -> dict:
    """The state in a file, its tensors on the CPU; none of its code runs. Raises ValueError, with the reason, where it
    is damaged or no dict; OSError, MemoryError.

    The zip's checksums are compared first: torch reads damaged numbers without a word, and of damaged structure raises
    nearly anything.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"{broken} has another checksum")
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, MemoryError) as error:
        if isinstance(error, OSError) and error.errno is None:  # zipfile's and torch's own, of a damaged file
            raise ValueError(first_line(error)) from None
        raise
    except Exception as error:  # zipfile, pickle and torch raise some ten kinds between them
        raise ValueError(first_line(error)) from None
    if not isinstance(state, dict):
        raise ValueError("it holds no dict")
    return state
