"""Where things are: folders that are written lie in the project root; what a person names is sought where they are."""

import os
from pathlib import Path


def project_root() -> Path:
    """RELVIT_HOME where it is set, else the nearest folder upwards with a pyproject.toml: seen from the working
    directory, then from this file (an editable install); the working directory where there is none at all."""
    home = os.environ.get("RELVIT_HOME")
    if home:
        return Path(home).expanduser().resolve()
    for start in (Path.cwd(), Path(__file__).resolve().parent):
        for folder in (start, *start.parents):
            if (folder / "pyproject.toml").is_file():
                return folder
    return Path.cwd()


def resolve(path: str | Path) -> Path:
    """The absolute form of a path that a user gave."""
    path = Path(path).expanduser()
    return path if path.is_absolute() else project_root() / path


def places(path: str | Path) -> tuple[Path, ...]:
    """Where something that a person gave to be read may be: seen from the working directory, then the project root."""
    path = Path(path).expanduser()
    return (path,) if path.is_absolute() else tuple(dict.fromkeys((Path.cwd() / path, project_root() / path)))
