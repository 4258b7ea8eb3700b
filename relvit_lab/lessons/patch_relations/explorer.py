"""The relations explorer: hover over a patch and see where all others lie, in the image and in the N x N targets."""

from collections.abc import Sequence

import numpy as np
import traitlets

from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.lessons.patch_relations.explorer_data import RelationsData, relations_data
from relvit_lab.lessons.patch_relations.explorer_figure import draw_relations
from relvit_lab.show.in_page.pack import carried
from relvit_lab.show.model_input import SHUFFLES
from relvit_lab.show.own_image import whole
from relvit_lab.show.relations import default_anchors
from relvit_lab.show.still import CONTROLS, HIDE, Widget, script
from relvit_lab.show.style import Drawing
from relvit_lab.show.task_panels import class_colours
from relvit_lab.show.task_views import WORDS

CSS = """
.relvit-relations { max-width: 1560px }
.relvit-relations .panels { display: flex; flex-wrap: wrap; gap: 12px }
.relvit-relations figure { flex: 1 1 240px; min-width: 0; max-width: 500px; margin: 0;
  display: flex; flex-direction: column }
.relvit-relations .below { display: flex; flex-wrap: wrap; gap: 6px 20px; margin-top: 8px; align-items: center }
.relvit-relations .said { flex: 1 1 300px; font-size: 16px; min-height: 3em }
.relvit-relations .trouble { color: var(--jp-error-color1, #A33B00); font-weight: 600 }
"""


class RelationsExplorer(Widget):
    """What `explore_relations` returns. All data goes to the browser once; hovering asks nothing of the kernel.

    task: one of those shown. anchor: the place j from which the others are seen. shuffle: 0, or the seed of the
    permutation that is shown. They may be set from Python, and follow what is clicked. shown: what the relations data
    hold, as the static figure draws them. model: whose answers these have, None for no model.
    """

    _esm = script(__file__, "../explorer_grid.js", "explorer.js")
    _css = HIDE + CONTROLS + CSS

    data = traitlets.Dict().tag(sync=True)
    task = traitlets.Unicode().tag(sync=True)
    anchor = traitlets.Int(0).tag(sync=True)
    shuffle = traitlets.Int(0).tag(sync=True)
    in_page = traitlets.Dict().tag(sync=True)  # where a page is to take other images; else empty: carry_models()

    def __init__(self, shown: RelationsData, model: object = None, **state: object):
        self.shown, self.model = shown, model
        tasks = {name: _for_the_browser(shown, name) for name in shown.tasks}
        data = {**shown.for_scripts(), "note": shown.note, "tasks": tasks}
        super().__init__(data=data, **{"task": next(iter(tasks)), **state})

    def carry_models(self) -> None:
        """Take along the model, if there is one: a page then shows any image, with what the model says about it."""
        models = [] if self.model is None else [self.model]
        self.in_page = carried(models, [self.shown.predictions] * len(models))

    @traitlets.validate("task", "anchor", "shuffle")
    def _known(self, proposal: dict) -> object:
        name, value = proposal["trait"].name, proposal["value"]
        if name == "task" and value not in self.shown.tasks:
            raise RelvitError(f"task '{value}' is not shown here: {nearest(value, self.shown.tasks)}")
        most = {"anchor": self.shown.side**2 - 1, "shuffle": SHUFFLES}.get(name)
        if most is not None and not 0 <= value <= most:
            raise RelvitError(f"{name} is a whole number from 0 to {most}, not {value}")
        return value

    def in_words(self) -> str:
        side = self.shown.side
        return (
            f"The relations explorer: an image in {side} x {side} patches, seen from patch {self.anchor} "
            "(relations_figure draws the same data)."
        )

    def still_picture(self) -> Drawing:
        return draw_relations(self.shown, self.anchor, self.shuffle)


def explore_relations(
    image: object = None,
    patch: int | None = None,
    model: object = None,
    *,
    task: str | None = None,
    anchor: int | None = None,
    shuffle: int = 0,
    tasks: Sequence[str] | None = None,
) -> RelationsExplorer:
    """Explore the relations between the patches of an image, your own image and your own tasks too.

    image: a PIL image; a path; uint8, or float in [0, 1], as an array (H, W), (H, W, C) or a tensor (C, H, W); None for
    a photograph. Others than squares are cropped to their centre, with a note. patch: P in pixels; None for the paper's
    at that size, or the model's. model: as `relvit_lab.load` gives it, or a name for it; its predictions are shown
    beside the targets. task, anchor, shuffle: what is shown first; without task, the first that the model answers.
    tasks: names of the registry; None for all that can be shown. Raises RelvitError for what cannot be shown.
    """
    data = relations_data(image, patch, model, tasks)
    task = next(iter(data.predictions or data.tasks)) if task is None else task
    anchor = default_anchors(data.side)[0] if anchor is None else whole(anchor, "anchor")
    return RelationsExplorer(data, model, task=str(task), anchor=anchor, shuffle=whole(shuffle, "shuffle"))


def _for_the_browser(shown: RelationsData, name: str) -> dict:
    """A task: small things as JSON, target and predictions as bytes, little-endian."""
    view = shown.tasks[name]
    number = "float32" if not view.is_class else "uint8" if len(view.names) <= 256 else "uint16"
    packed = np.dtype(number).newbyteorder("<")
    answered = name in shown.predictions
    return {
        **view.for_scripts(),
        "number": number,
        "target": view.target.astype(packed).tobytes(),
        "said": shown.predictions[name].astype(packed).tobytes() if answered else None,
        "verdicts": [shown.verdict(name, s) for s in range(SHUFFLES + 1)] if answered else [],
        "colours": list(class_colours(view)),
        "words": list(WORDS) if view.kind == "relations" else [],
    }
