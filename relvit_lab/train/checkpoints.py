"""The file of a checkpoint: written so that a full disk shows, checked to the last byte before it is read."""

import zipfile
from pathlib import Path

import torch

from relvit_lab.common.sealed import Damaged

ANEW = "delete the file, or pass fresh=True, to start this stage anew"


class DamagedCheckpoint(Damaged):
    def __init__(self, file: Path, why: str):
        super().__init__(file, why)
        self.args = (f"the checkpoint {file} is corrupt ({why}): {ANEW}",)


class _Remembering:
    """A file that goes on taking what is written after the system has refused some: torch's writer would report an
    error of its own. The first refusal is kept."""

    def __init__(self, file):
        self.file, self.refused = file, None

    def write(self, data: bytes) -> int:
        if self.refused is None:
            try:
                self.file.write(data)
            except OSError as error:
                self.refused = error
        return len(data)

    def flush(self) -> None:
        """Asked for by torch; the file is flushed where it is closed."""


def save_state(state: dict, path: Path) -> None:
    """torch.save. Raises OSError as the system reports it."""
    with path.open("wb") as file:
        out = _Remembering(file)
        torch.save(state, out)  # type: ignore[arg-type]  # it only writes and flushes
        if out.refused is not None:
            raise out.refused


def load_state(file: Path) -> dict:
    """The state in a file, its tensors on the CPU; none of its code runs. Raises Damaged, OSError, MemoryError.

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
            raise DamagedCheckpoint(file, _reason(error)) from None
        raise
    except Exception as error:  # zipfile, pickle and torch raise some ten kinds between them
        raise DamagedCheckpoint(file, _reason(error)) from None
    if not isinstance(state, dict) or not isinstance(state.get("stage"), str):
        raise DamagedCheckpoint(file, "it holds no stage")
    return state


def _reason(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
