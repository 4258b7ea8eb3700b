"""The app's page: an explorer a tab, made when it is first looked at; an image of one's own for those that take one."""

import html
from collections.abc import Callable
from dataclasses import dataclass

import ipywidgets as w
from PIL import Image

import relvit_lab
from relvit_lab.common.errors import RelvitError
from relvit_lab.data import given_image
from relvit_lab.lessons.patch_relations.guess import guess_relation
from relvit_lab.show.own_image import USUAL

MODEL = "cifar10_tasks"


@dataclass(frozen=True)
class Tab:
    """make(image) -> a widget; image None: the explorer's own. takes_image: whether another image changes it."""

    title: str
    about: str
    make: Callable[[object], w.DOMWidget]
    takes_image: bool = True


TABS = (  # relvit_lab loads an explorer when it is asked for
    Tab(
        "Relations",
        "Where does patch i lie, seen from patch j: on which side (SpRel), how far (Dist), at what angle (Ang)? Which "
        "place is it (AbsPos)? Notebook 01.",
        lambda image: relvit_lab.explore_relations(image),
    ),
    Tab(
        "Mega-patches",
        "Random cuts, resized to the size of a patch (§3.2.1). Drag them. Notebook 02.",
        lambda image: relvit_lab.explore_mega_patches(image),
    ),
    Tab(
        "Attention scores",
        "What a trained model's heads say of every pair, beside a model that has learnt nothing. Notebook 03.",
        lambda image: relvit_lab.explore_scores(image, model=MODEL, other="untrained"),
    ),
    Tab(
        "Are you better?",
        "On which side of j does i lie? You, a trained model, and chance. Notebook 01.",
        lambda image: guess_relation(image, MODEL),
    ),
    Tab(
        "Shortcut lab",
        "Train on SpRel, here and now, and take the positional embeddings away halfway (§4.3). Notebook 05.",
        lambda image: relvit_lab.shortcut_lab(),
        takes_image=False,
    ),
)


def _large_enough(content: bytes) -> object:
    """The image, its middle enlarged to USUAL pixels a side where it has fewer, so that every explorer finds patches
    enough. Raises RelvitError where it cannot be read, which every explorer would say otherwise."""
    square = given_image.square(content, USUAL)
    if min(given_image.size(content)) >= USUAL:
        return content
    return Image.fromarray(square.permute(1, 2, 0).numpy())  # (3,S,S) -> (S,S,3)


class Explorers(w.VBox):
    """The page. `tabs.selected_index` says what is looked at; `own`, a FileUpload, takes an image for all tabs."""

    def __init__(self):
        self.image = None
        self.made: dict[int, w.DOMWidget] = {}
        self.tabs = w.Tab(
            [w.VBox() for _ in TABS], titles=[tab.title for tab in TABS], layout=w.Layout(min_height="560px")
        )
        self.own = w.FileUpload(accept="image/*", description="Your own image", layout=w.Layout(width="180px"))
        self.usual = w.Button(description="Back to ours", disabled=True, layout=w.Layout(width="140px"))
        self.said = w.HTML()
        super().__init__([w.HBox([self.own, self.usual, self.said]), self.tabs])
        self.tabs.observe(lambda change: self.show(change["new"]), "selected_index")
        self.own.observe(lambda change: self._take(change["new"]), "value")
        self.usual.on_click(lambda button: self._use(None, ""))
        self.show(self.tabs.selected_index or 0)

    def show(self, index: int | None) -> None:
        """Make the explorer of a tab where it is not there yet; an error is told in its place."""
        if index is None or index in self.made:
            return
        tab, place = TABS[index], self.tabs.children[index]
        about = w.HTML(f"<p style='margin:4px 0 10px'>{html.escape(tab.about)}</p>")
        place.children = [about, w.HTML("<p role='status'>Loading, a few seconds ...</p>")]
        try:
            made = tab.make(self.image if tab.takes_image else None)
        except RelvitError as error:
            made = w.HTML(f"<p role='alert'>This cannot be shown: {html.escape(str(error))}</p>")
        self.made[index] = made
        place.children = [about, made]

    def _take(self, files: tuple) -> None:
        if not files:
            return
        name = files[0]["name"]
        try:
            image = _large_enough(given_image.given_image(files))
        except RelvitError as error:
            self.said.value = f"<span role='alert'>{html.escape(name)} cannot be read: {html.escape(str(error))}</span>"
            return
        self._use(image, f"All but the shortcut lab now show {name}.")

    def _use(self, image: object, said: str) -> None:
        self.image, self.usual.disabled = image, image is None
        self.said.value = f"<span role='status'>{html.escape(said)}</span>"
        for index in [index for index in self.made if TABS[index].takes_image]:
            self.made.pop(index).close()
            self.tabs.children[index].children = []
        self.show(self.tabs.selected_index)
