"""try.html: a guided tour over one image, then free play, computed by models that the page carries."""

import base64
import json
from collections.abc import Sequence
from pathlib import Path

from matplotlib.colors import to_hex

from relvit_lab.common.document import document
from relvit_lab.common.errors import RelvitError
from relvit_lab.common.files import write_whole
from relvit_lab.publish.site.page import POLICY
from relvit_lab.show.in_page.pack import module_style, module_text, offered_images, packed
from relvit_lab.show.relations import RELATION_COLOURS
from relvit_lab.show.style import heat_colours
from relvit_lab.show.task_views import WORDS

TITLE = "Where are my neighbours?"
OWN = Path(__file__).parent
SCRIPT = ("try_state.js", "try_game.js", "try_steps.js", "try.js")  # after the module of all pages that compute
USUAL = (
    ("photographs, no places told", "cifar10_tasks"), ("photographs, places told", "cifar10_tasks_pe"),
)  # fmt: skip
"""Of the package's models those that the page carries, the tour's first; the second has positional embeddings."""
SOURCES = (
    "China: danielbuechele, flower: vultilion, both on Flickr, CC BY 2.0, from scikit-learn. CIFAR-10: the first eight "
    "test images (A. Krizhevsky, Learning multiple layers of features from tiny images, 2009), a data set for "
    "research that states no licence."
)


def write_try(out: str | Path, models: Sequence[object] = USUAL, home: str = "") -> Path:
    """Write try.html, which loads nothing and sends nothing, into the folder `out`. Returns the file.

    models: each as `relvit_lab.load` gives it, the name of one, or (what it is called, one of these). The first needs
    the task sprel: the tour asks it. A step on positional embeddings is there where one has them and another of the
    same grid has none. home: the file that a link leads up to, "" for no link. Raises RelvitError, as `packed` does,
    and where the first has no SpRel.
    """
    carried = [_named(model) for model in models]
    if not carried or carried[0]["tasks"].get("sprel", {}).get("kind") != "relations":
        raise RelvitError("the tour asks its first model for SpRel: name one that was trained on the task sprel")
    data = json.dumps(
        {
            "models": carried,
            "images": offered_images({one["dataset"] for one in carried}),
            "heat": base64.b64encode(heat_colours()).decode(),
            "colours": [to_hex(colour) for colour in RELATION_COLOURS],
            "words": list(WORDS),
        }
    )
    way = f'<p class="home"><a href="{home}">All notebooks</a></p>' if home else ""
    script = "\n".join([module_text(), *((OWN / name).read_text(encoding="utf-8") for name in SCRIPT)])
    body = (OWN / "try_body.html").read_text(encoding="utf-8")
    body = body.replace("{title}", TITLE).replace("{home}", way).replace("{sources}", SOURCES)
    style = module_style() + (OWN / "try.css").read_text(encoding="utf-8")
    data = data.replace("<", "\\u003c")  # so that no text in it ends the element
    body += f'\n<script type="application/json" id="try-data">{data}</script>'
    file = Path(out) / "try.html"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, document(TITLE, f'{body}\n<script type="module">\n{script}</script>', style, POLICY))
    return file


def _named(given: object) -> dict:
    name, model = given if isinstance(given, tuple) else (given, given)
    about = packed(model)
    usual = f"{about['dataset']}, {'places told' if about['positions'] else 'no places told'}"
    return {"name": name if isinstance(name, str) else usual, **about}
