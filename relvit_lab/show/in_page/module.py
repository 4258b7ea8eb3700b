"""What every page that computes has once: the module's text and style, and the images that it offers."""

import base64
import io
from collections.abc import Collection
from pathlib import Path

import numpy as np

from relvit_lab.show.in_page.pack import FOLDER
from relvit_lab.show.model_input import png
from relvit_lab.show.photographs import SQUARES, photograph
from relvit_lab.train import assets

FILES = (  # one module
    "canvas.js", "transformer.js", "quick_product.js", "deep_grey.js", "pixels.js", "draw.js", "chooser.js",
)  # fmt: skip
SAMPLES = 8  # test images of CIFAR-10, and of the digits


def module_text() -> str:
    return "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in FILES)


def module_style() -> str:
    """Of the elements to choose an image with."""
    return (FOLDER / "chooser.css").read_text(encoding="utf-8")


def offered_images(datasets: Collection[str]) -> list[dict]:
    """Those to choose from for models of these data sets, ready for JSON: name, dataset ("digits" for models of digits,
    "photographs" for others), png (base64)."""
    found = []
    if set(datasets) - {"digits"}:
        strip = _read(assets.FOLDER / "cifar10_eight.png")  # (32,8*32,3)
        tiles = np.split(strip, SAMPLES, axis=1)
        found += [_image(f"CIFAR-10 test image {k}", tile) for k, tile in enumerate(tiles)]
        shown = [_image(name.capitalize(), (photograph(224, name) * 255).round().astype(np.uint8)) for name in SQUARES]
        found = shown + found
    if "digits" in datasets:
        from relvit_lab.data import load

        images = load("digits").test.images[:SAMPLES]  # (8,C,8,8) uint8
        grey = images.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).contiguous().numpy()
        found += [_image(f"Digit, test image {k}", one, "digits") for k, one in enumerate(grey)]
    return found


def _image(name: str, pixels: np.ndarray, dataset: str = "photographs") -> dict:
    return {"name": name, "dataset": dataset, "png": base64.b64encode(png(pixels)).decode()}


def _read(file: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(file.read_bytes())).convert("RGB"))
