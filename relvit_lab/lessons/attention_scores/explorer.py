"""The attention-score explorer: from one token the K scores to all others, their softmax, the answers, the attention.

The kernel computes one order of the patches at a time and sends it whole; picking tokens and scores asks nothing of it.
"""

import base64

import numpy as np
import traitlets

from relvit_lab.common.errors import RelvitError, nearest
from relvit_lab.lessons.attention_scores.explorer_data import ScoresData, scores_data, with_image
from relvit_lab.lessons.attention_scores.explorer_figure import draw_scores
from relvit_lab.show.in_page.pack import carried
from relvit_lab.show.model_input import SHUFFLES
from relvit_lab.show.own_image import whole
from relvit_lab.show.relations import default_anchors
from relvit_lab.show.still import CONTROLS, HIDE, Widget, script
from relvit_lab.show.style import Drawing
from relvit_lab.show.task_panels import class_colours

CARRIED = 1_000_000  # bytes of scores and attention, at most, that a page without a kernel takes along
SWITCHES = ("softmax", "cls", "back")
CHOICES = ("task", "token", "score", "shuffle", "block", "head", *SWITCHES)
CSS = """
.relvit-scores { max-width: 1560px }
.relvit-scores [hidden] { display: none !important }
.relvit-scores h4 { margin: 8px 0 2px; font-size: 15px; padding-top: 4px;
  border-top: 1px solid var(--jp-border-color2, #ddd) }
.relvit-scores h4 small { font-size: 13px; font-weight: 400; margin-left: 12px }
.relvit-scores .panels { display: grid; gap: 10px 14px; grid-template-columns: repeat(auto-fit, minmax(185px, 1fr)) }
.relvit-scores figure { min-width: 0; max-width: 360px; margin: 0; display: flex; flex-direction: column }
.relvit-scores .scale { display: flex; gap: 6px; align-items: center; font-size: 13px; min-height: 20px }
.relvit-scores .scale i { flex: 1; height: 10px }
.relvit-scores .chosen-pair { display: flex; flex-wrap: wrap; gap: 4px 20px; align-items: center; margin-top: 6px }
.relvit-scores .said { flex: 1 1 260px; font-size: 16px; min-height: 2.8em }
.relvit-scores .trouble { color: var(--jp-error-color1, #A33B00); font-weight: 600 }
.relvit-scores .many .said { flex-basis: 100% }
.relvit-scores .pair { overflow-x: auto; max-width: 100% }
.relvit-scores table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap;
  margin: 2px }
.relvit-scores th, .relvit-scores td { padding: 2px 8px; text-align: right; font-size: 14px }
.relvit-scores th:first-child, .relvit-scores td:first-child { text-align: left; font-weight: 600 }
.relvit-scores td { min-width: 3.6em }
.relvit-scores .chosen { outline: 2px solid; outline-offset: -2px }
"""


class ScoresExplorer(Widget):
    """What `explore_scores` returns.

    task: a name. token: the place j from which the others are seen. score: which of the K scores, from 0. softmax: show
    it over K, or the raw scores. shuffle: 0, or the seed of the permutation. block: of the backbone, from 1. head: of
    its attention, from 1; 0 for their mean. cls: the attention of the CLS token, not of token j. back: shuffled patches
    are drawn where they belong. They may be set from Python, and follow what is clicked. shown: the scores data, as the
    static figures draw them.
    """

    _esm = script(__file__, "../explorer_grid.js", "explorer_read.js", "explorer_paint.js", "explorer.js")
    _css = HIDE + CONTROLS + CSS

    data = traitlets.Dict().tag(sync=True)  # the image, the tasks, and the orders that are carried along
    extra = traitlets.Dict().tag(sync=True)  # the order that was asked for last: {"shuffle", "models"}
    upload = traitlets.Unicode().tag(sync=True)  # an image of the user's own, as a data URL
    trouble = traitlets.Unicode().tag(sync=True)  # what went wrong with it
    in_page = traitlets.Dict().tag(sync=True)  # the models, where a page is to compute; else empty: carry_models()

    task = traitlets.Unicode().tag(sync=True)
    token = traitlets.Int(0).tag(sync=True)
    score = traitlets.Int(0).tag(sync=True)
    softmax = traitlets.Bool(True).tag(sync=True)
    shuffle = traitlets.Int(0).tag(sync=True)
    block = traitlets.Int(1).tag(sync=True)
    head = traitlets.Int(0).tag(sync=True)
    cls = traitlets.Bool(False).tag(sync=True)
    back = traitlets.Bool(False).tag(sync=True)

    def __init__(self, shown: ScoresData, **state: object):
        self.shown = shown
        super().__init__(data=_for_the_browser(shown), **state)

    def show(self, image: object = None) -> None:
        """Another image before the same models. image: as `explore_scores` takes it. Raises RelvitError."""
        shown = with_image(self.shown, image)
        with self.hold_sync():
            self.shown, self.trouble = shown, ""
            self.data = _for_the_browser(shown)
            self.extra = _order(shown, self.shuffle) if self.shuffle else {}

    def carry(self) -> None:
        """Take along as many shuffles as fit into CARRIED bytes, for a page without a kernel."""
        orders = dict(self.data["shuffles"])
        parts = [part for model in orders["0"] for part in (model, *model["tasks"].values())]
        size = sum(len(value) for part in parts for value in part.values() if isinstance(value, bytes))  # of an order
        for shuffle in range(1, min(SHUFFLES, CARRIED // size - 1) + 1):
            orders[str(shuffle)] = _order(self.shown, shuffle)["models"]
        self.data = {**self.data, "shuffles": orders}

    def carry_models(self) -> None:
        """Take along the models themselves: a page then answers about any image, in every order; what carry() took of
        other orders goes."""
        asked = [self.shown.answers(model=m).scores for m in range(len(self.shown.names))]
        self.in_page = carried(self.shown.models, asked)
        if self.in_page:
            self.data = {**self.data, "shuffles": {"0": self.data["shuffles"]["0"]}}

    @traitlets.observe("shuffle")
    def _send_another_order(self, change: dict) -> None:
        if self.data and str(change["new"]) not in self.data["shuffles"]:
            self.extra = _order(self.shown, change["new"])

    @traitlets.observe("upload")
    def _show_the_upload(self, change: dict) -> None:
        if not change["new"]:
            return
        try:
            self.show(base64.b64decode(change["new"].partition(",")[2]))
        except (RelvitError, ValueError) as error:
            self.trouble = f"This image cannot be shown: {error}"
        self.upload = ""

    @traitlets.validate("task", "token", "score", "shuffle", "block", "head")
    def _known(self, proposal: dict) -> object:
        name, value = proposal["trait"].name, proposal["value"]
        tasks = self.shown.tasks
        if name == "task":
            if value not in tasks:
                raise RelvitError(f"unknown task '{value}': {nearest(value, tasks)}")
            return value
        maps = [self.shown.answers(model=m).attention for m in range(len(self.shown.names))]
        sizes = [attention.shape[:2] for attention in maps if attention is not None] or [(1, 0)]
        blocks, heads = map(max, zip(*sizes))
        scores = max(1, *(len(view.names) for view in tasks.values()))  # of any task: others have their last one shown
        places = self.shown.side**2
        most = {"token": places - 1, "score": scores - 1, "shuffle": SHUFFLES, "block": blocks, "head": heads}[name]
        least = 1 if name == "block" else 0
        if not least <= value <= most:
            raise RelvitError(f"{name} is a whole number from {least} to {most}, not {value}")
        return value

    def in_words(self) -> str:
        said = "; ".join(
            f"{name}: {self.shown.verdict(self.task, self.shuffle, m)}"
            for m, name in enumerate(self.shown.names)
            if self.task in self.shown.answers(self.shuffle, m).said
        )
        return (
            f"The attention-score explorer: {self.shown.tasks[self.task].title} seen from token {self.token}; {said} "
            "(draw_scores and draw_attention draw the same data)."
        )

    def still_picture(self) -> Drawing:
        last = max(len(self.shown.tasks[self.task].names), 1) - 1  # some tasks have fewer scores than others
        return draw_scores(self.shown, self.task, self.token, min(self.score, last), self.shuffle)


def explore_scores(
    image: object = None,
    model: object = "cifar10_tasks",
    other: object = None,
    *,
    task: str | None = None,
    token: int | None = None,
    **state: object,
) -> ScoresExplorer:
    """Explore a model's attention scores on an image, your own too: explore_scores("my.jpg", other="untrained").

    image: a PIL image; a path; uint8, or float in [0, 1], as an array (H, W), (H, W, C) or a tensor (C, H, W); None for
    a photograph, or for a model of digits one of its test images. model: as `relvit_lab.load` gives it, or a name for
    it. other: a second one beside it, for the same grid; "untrained" for the same architecture with fresh weights.
    task, token, and any other trait of ScoresExplorer (score, shuffle, block, ...): what is shown first.
    Raises RelvitError for what cannot be shown.
    """
    data = scores_data(image, model, other)
    for name, value in state.items():
        if name not in CHOICES:
            raise RelvitError(f"explore_scores has no '{name}': {nearest(name, CHOICES)}")
        if name in SWITCHES and not isinstance(value, (bool, np.bool_)):  # "no" would count as true
            raise RelvitError(f"{name} is True or False, not {value!r}")
        state[name] = bool(value) if name in SWITCHES else whole(value, name)
    token = default_anchors(data.side)[0] if token is None else whole(token, "token")
    return ScoresExplorer(data, task=next(iter(data.tasks)) if task is None else str(task), token=token, **state)


def _for_the_browser(shown: ScoresData) -> dict:
    """Small things as JSON; the picture, targets and scores as bytes, little-endian."""
    return {
        **shown.for_scripts(),
        "note": " ".join(filter(None, (shown.note, shown.left_out))),
        "models": [_about(shown, m) for m in range(len(shown.names))],
        "tasks": {
            name: {**view.for_scripts(), "colours": class_colours(view), "target": view.target.astype("<f4").tobytes()}
            for name, view in shown.tasks.items()
        },
        "shuffles": {"0": _order(shown, 0)["models"]},
    }


def _about(shown: ScoresData, model: int) -> dict:
    attention = shown.answers(model=model).attention
    blocks, heads = (0, 0) if attention is None else attention.shape[:2]
    return {
        "name": shown.names[model], "blocks": blocks, "heads": heads, "prefix": shown.prefix(model),
        "without": shown.without_attention(model),
    }  # fmt: skip


def _order(shown: ScoresData, shuffle: int) -> dict:
    """All that the models say about one order of the patches."""
    models = []
    for m in range(len(shown.names)):
        answers, tasks = shown.answers(shuffle, m), {}
        for name, scores in answers.scores.items():
            packed = "uint8" if len(scores) <= 256 else "<u2"
            tasks[name] = {
                **_scaled(scores),
                "outputs": len(scores),
                "said": answers.said[name].astype(packed).tobytes() if shown.tasks[name].is_class else None,
                "verdict": shown.verdict(name, shuffle, m),
                "drift": shown.drift(name, shuffle, m),
            }
        models.append({"tasks": tasks, **_shares(answers.attention)})
    return {"shuffle": shuffle, "models": models}


def _scaled(scores: np.ndarray) -> dict:
    """Two bytes a score: low + step * number, off by at most 1/131070 of the range."""
    low, high = float(scores.min()), float(scores.max())
    step = (high - low) / 65535 or 1.0
    return {"scores": ((scores.astype(float) - low) / step).round().astype("<u2").tobytes(), "low": low, "step": step}


def _shares(attention: np.ndarray | None) -> dict:
    """A byte for each share, as a part of the largest of its row: (L, heads, T, T) and (L, heads, T)."""
    if attention is None:
        return {}
    top = attention.max(-1)
    share = (attention / top[..., None] * 255).round().astype("uint8")
    return {"share": share.tobytes(), "top": top.astype("<f4").tobytes()}
