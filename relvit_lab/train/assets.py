"""Small trained models that come with the package: weights in float16, and the record of the stage that made them.

paper/records/asset.py writes them, trained.py loads them."""

from pathlib import Path

FOLDER = Path(__file__).parents[1] / "assets"
LARGEST = 2_000_000  # bytes of weights


def names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in FOLDER.glob("*.safetensors")))
