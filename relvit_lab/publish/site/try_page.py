"""try.html: a guided tour over one image, then free play, computed by models that the page carries."""

import base64
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from relvit_lab.common.document import document
from relvit_lab.common.errors import RelvitError
from relvit_lab.common.files import write_whole
from relvit_lab.publish.site.page import POLICY
from relvit_lab.show.in_page.pack import FOLDER, packed
from relvit_lab.show.model_input import png
from relvit_lab.show.photographs import SQUARES, photograph
from relvit_lab.train import assets

FILE = "try.html"
TITLE = "Where are my neighbours?"
OWN = Path(__file__).parent
SCRIPT = (
    *(FOLDER / name for name in ("transformer.js", "quick_product.js", "deep_grey.js", "pixels.js", "draw.js")),
    *(OWN / name for name in ("try_state.js", "try_game.js", "try_steps.js", "try.js")),
)  # one module of nine files
USUAL = ("cifar10_tasks", "cifar10_tasks_pe")
"""Of the package's models those that the page carries, the tour's first; the second has positional embeddings."""
TITLES = {
    "cifar10_tasks": "photographs, no places told",
    "cifar10_tasks_pe": "photographs, places told",
    "digits_tasks": "digits",
}
SAMPLES = 8  # test images of CIFAR-10, and of the digits
SOURCES = (
    "China: danielbuechele, flower: vultilion, both on Flickr, CC BY 2.0, from scikit-learn. CIFAR-10: the first eight "
    "test images (A. Krizhevsky, Learning multiple layers of features from tiny images, 2009), a data set for "
    "research that states no licence."
)


def write_try(out: str | Path, models: Sequence[object] | None = None, home: str = "") -> Path:
    """Write try.html into the folder `out`. models, home: as try_page takes them. Returns the file."""
    file = Path(out) / FILE
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, try_page(models, home))
    return file


def try_page(models: Sequence[object] | None = None, home: str = "") -> str:
    """The page, whole: it loads nothing and sends nothing.

    models: each as `relvit_lab.load` gives it, the name of one, or (what it is called, one of these); None for those
    that come with the package. The first needs the task sprel: the tour asks it. A step on positional embeddings is
    there where one has them and another of the same grid has none. home: the file that a link leads up to, "" for no
    link. Raises RelvitError, as `packed` does, and where the first has no SpRel.
    """
    if models is None:
        models = [name for name in USUAL if name in assets.names()]
    carried = [_named(model) for model in models]
    if not carried or carried[0]["tasks"].get("sprel", {}).get("kind") != "relations":
        raise RelvitError("the tour asks its first model for SpRel: name one that was trained on the task sprel")
    data = json.dumps({"models": carried, "images": _images({one["dataset"] for one in carried}), **_looks()})
    way = f'<p class="home"><a href="{home}">All notebooks</a></p>' if home else ""
    script = "\n".join(path.read_text(encoding="utf-8") for path in SCRIPT)
    body = (OWN / "try_body.html").read_text(encoding="utf-8")
    body = body.replace("{title}", TITLE).replace("{home}", way).replace("{sources}", SOURCES)
    style = (OWN / "try.css").read_text(encoding="utf-8")
    data = data.replace("<", "\\u003c")  # so that no text in it ends the element
    body += f'\n<script type="application/json" id="try-data">{data}</script>'
    return document(TITLE, f'{body}\n<script type="module">\n{script}</script>', style, POLICY)


def _named(given: object) -> dict:
    name, model = given if isinstance(given, tuple) else (given, given)
    about = packed(model)
    places = "places told" if about["positions"] else "no places told"
    usual = f"{about['dataset']}, {places}"
    return {"name": TITLES.get(name, name) if isinstance(name, str) else usual, **about}


def _images(datasets: set[str]) -> list[dict]:
    """Those to choose from. dataset: "digits" for models of digits, "photographs" for others."""
    found = []
    if datasets - {"digits"}:
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


def _looks() -> dict:
    """Colours and words that pictures share with the notebooks'."""
    import matplotlib
    from matplotlib.colors import to_hex

    from relvit_lab.show.relations import RELATION_COLOURS
    from relvit_lab.show.style import HEAT
    from relvit_lab.show.task_views import WORDS

    heat = matplotlib.colormaps[HEAT](np.arange(256), bytes=True)[:, :3]  # (256,3)
    return {
        "heat": base64.b64encode(heat.tobytes()).decode(),
        "colours": [to_hex(colour) for colour in RELATION_COLOURS],
        "words": list(WORDS),
    }
