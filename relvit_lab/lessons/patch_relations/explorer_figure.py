"""The relations explorer on paper: one image, each task's answers from one anchor, and the N x N targets."""

import textwrap
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes

from relvit_lab.lessons.patch_relations.explorer_data import RelationsData, relations_data
from relvit_lab.show.model_input import SHUFFLES
from relvit_lab.show.own_image import whole
from relvit_lab.show.relations import _check_anchor, _compass, default_anchors, mark_anchor
from relvit_lab.show.style import HEAT, INK, Drawing, grid, new_drawing, show_picture, styled
from relvit_lab.show.task_panels import PANEL, show_field, show_matrix


def relations_figure(
    image: object = None,
    patch: int | None = None,
    anchor: int | None = None,
    model: object = None,
    *,
    shuffle: int = 0,
    tasks: Sequence[str] | None = None,
) -> Drawing:
    """Draw what `explore_relations` shows with the same arguments, for all its tasks at once.

    image: a PIL image; a path; uint8, or float in [0, 1], as an array (H, W), (H, W, C) or a tensor (C, H, W); None for
    a photograph. patch: P in pixels. anchor: the place j from which the others are seen; near the centre when None.
    model: as `relvit_lab.load` gives it, or a name for it; its answers come below. shuffle: 0, or a seed from 1 to 9.
    tasks: names of the registry, your own too; None for all that can be shown. Raises RelvitError for what cannot be.
    """
    return draw_relations(relations_data(image, patch, model, tasks), anchor, shuffle)


@styled
def draw_relations(data: RelationsData, anchor: int | None = None, shuffle: int = 0) -> Drawing:
    """The same from data that are there already, such as an explorer's `shown`. Raises RelvitError as above."""
    side = data.side
    anchor = default_anchors(side)[0] if anchor is None else anchor
    anchor, shuffle = whole(anchor, "anchor"), whole(shuffle, "shuffle", 0, SHUFFLES)
    _check_anchor(anchor, side)
    picture = data.shuffled_picture(shuffle) / 255
    rows = ["seen", "says", "targets", "answers"] if data.predictions else ["seen", "targets"]
    columns = 1 + len(data.tasks)
    figure = new_drawing(2.68 * columns, PANEL * len(rows) + 0.5)
    axes = dict(zip(rows, figure.subplots(len(rows), columns, squeeze=False)))
    show_picture(axes["seen"][0], picture, side)
    axes["seen"][0].set_title(f"shuffle {shuffle}" if shuffle else f"{side * side} patches")
    grid(axes["seen"][0], side)
    mark_anchor(axes["seen"][0], anchor, side)
    for row in rows[1:]:
        axes[row][0].set_axis_off()
    if any(view.kind == "relations" for view in data.tasks.values()):
        _compass(axes["targets"][0])
    said, bars = {}, {}
    for k, (name, view) in enumerate(data.tasks.items(), start=1):
        if not view.is_class:
            bars[view.low, view.high] = k  # the last of each range
        target = data.target(name, shuffle)
        show_field(axes["seen"][k], view, target, anchor, side)
        each = "each patch's place" if view.kind == "places" else "each patch"
        axes["seen"][k].set_title(f"{view.title}: {f'seen from {anchor}' if view.of_pairs else each}")
        show_matrix(axes["targets"][k], view, target, anchor)
        axes["targets"][k].set_title(f"{view.title}: targets")
        if view.kind == "classes" and view.legend():
            axes["seen"][k].set_xlabel(textwrap.fill(textwrap.shorten(view.legend(), 90), 34), fontsize=9)
        for row in ("says", "answers") if data.predictions else ():
            axes[row][k].set_axis_off()
        if name not in data.predictions:
            if data.predictions:
                axes["says"][k].text(
                    0.5, 0.5, f"no head for {view.title}", ha="center", transform=axes["says"][k].transAxes
                )
            continue
        answers, wrong = data.predictions[name][shuffle], data.mistakes(name, shuffle)
        show_field(axes["says"][k], view, answers, anchor, side, wrong)
        axes["says"][k].set_title("the model says")
        show_matrix(axes["answers"][k], view, answers, anchor, wrong)
        said[name] = data.verdict(name, shuffle)
        axes["answers"][k].set_title(said[name].replace("; ", "\n"), fontsize=10)
    for (low, high), k in bars.items():
        scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(low, high), HEAT)
        ticks = [low, (low + high) / 2, high]
        bar = figure.colorbar(scale, ax=[axes[row][k] for row in rows], fraction=0.08, aspect=30, pad=0.02)
        bar.set_ticks(ticks, labels=[f"{tick:.3g}" for tick in ticks])
    if data.predictions:
        _key(axes["says"][0])
    if data.note:
        figure.text(0.005, 0.005, data.note, fontsize=9, color=INK)
    figure.alt = (
        f"An image in {side} x {side} patches{f', shuffled with seed {shuffle}' if shuffle else ''}; what each task "
        f"({', '.join(view.title for view in data.tasks.values())}) says about every patch, seen from the one at place "
        f"{anchor}; below the targets of all {side**2} x {side**2} pairs, with that patch's column framed."
        + "".join(f" {data.tasks[name].title}: {verdict}." for name, verdict in said.items())
    )
    return figure


def _key(ax: Axes) -> None:
    """How mistakes are marked."""
    for k, line in enumerate(("Mistakes are crossed here;", "in the matrices they are pale", "(AbsPos: orange)")):
        ax.text(0.02, 0.62 - 0.11 * k, line, va="center", transform=ax.transAxes)
