"""Where things are: folders that are written lie in the project root; what a person names is sought where they are."""

import os
from pathlib import Path

from relvit_lab.common.errors import RelvitError


def project_root() -> Path:
    """RELVIT_HOME where it is set, else the nearest folder upwards with a pyproject.toml: seen from the working
    directory, then from this file (an editable install); the working directory where there is none at all."""
    home = os.environ.get("RELVIT_HOME")
    if home:
        return expanded(home).resolve()
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        for folder in (start, *start.parents):
            if (folder / "pyproject.toml").is_file():
                return folder
    return Path.cwd()


def resolve(path: str | Path) -> Path:
    """The absolute form of a path that a user gave."""
    path = expanded(path)
    return path if path.is_absolute() else project_root() / path


def places(path: str | Path) -> tuple[Path, ...]:
    """Where something that a person gave to be read may be: seen from the working directory, then the project root."""
    path = expanded(path)
    return (path,) if path.is_absolute() else tuple(dict.fromkeys((Path.cwd() / path, project_root() / path)))


def expanded(path: str | Path) -> Path:
    """The path, with ~ and ~user as the folder that they mean. Raises RelvitError where nobody has that name."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise RelvitError(f"{path}: there is no such user here; write the folder's whole path") from None
