"""The relations explorer on paper: one image, each task's answers from one anchor, and the N x N targets."""

import textwrap
from collections.abc import Sequence

import matplotlib

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

    anchor: the place j from which the others are seen; near the centre when None. model: its answers come below.
    shuffle: 0, or a seed from 1 to 9. Raises RelvitError for what cannot be shown.
    """
    return draw_relations(relations_data(image, patch, model, tasks), anchor, shuffle)


@styled
def draw_relations(data: RelationsData, anchor: int | None = None, shuffle: int = 0) -> Drawing:
    """The same from data that are there already, such as an explorer's `shown`. Raises RelvitError as above."""
    side = data.side
    anchor = default_anchors(side)[0] if anchor is None else anchor
    anchor, shuffle = whole(anchor, "anchor"), whole(shuffle, "shuffle", 0, SHUFFLES)
    _check_anchor(anchor, side)
    rows = ["seen", "says", "targets", "answers"] if data.predictions else ["seen", "targets"]
    columns = 1 + len(data.tasks)
    figure = new_drawing(2.68 * columns, PANEL * len(rows) + 0.5)
    axes = dict(zip(rows, figure.subplots(len(rows), columns, squeeze=False)))
    image = axes["seen"][0]
    show_picture(image, data.shuffled_picture(shuffle) / 255, side)
    image.set_title(f"shuffle {shuffle}" if shuffle else f"{side * side} patches")
    grid(image, side)
    mark_anchor(image, anchor, side)
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
        if not data.predictions:
            continue
        says, matrix = axes["says"][k], axes["answers"][k]
        says.set_axis_off()
        matrix.set_axis_off()
        if name not in data.predictions:
            says.text(0.5, 0.5, f"no head for {view.title}", ha="center", transform=says.transAxes)
            continue
        answers, wrong = data.predictions[name][shuffle], data.mistakes(name, shuffle)
        show_field(says, view, answers, anchor, side, wrong)
        says.set_title("the model says")
        show_matrix(matrix, view, answers, anchor, wrong)
        said[name] = data.verdict(name, shuffle)
        matrix.set_title(said[name].replace("; ", "\n"), fontsize=10)
    for (low, high), k in bars.items():
        scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(low, high), HEAT)
        ticks = [low, (low + high) / 2, high]
        bar = figure.colorbar(scale, ax=[axes[row][k] for row in rows], fraction=0.08, aspect=30, pad=0.02)
        bar.set_ticks(ticks, labels=[f"{tick:.3g}" for tick in ticks])
    if data.predictions:
        key = axes["says"][0]
        for k, line in enumerate(("Mistakes are crossed here;", "in the matrices they are pale", "(AbsPos: orange)")):
            key.text(0.02, 0.62 - 0.11 * k, line, va="center", transform=key.transAxes)
    if data.note:
        figure.text(0.005, 0.005, data.note, fontsize=9, color=INK)
    figure.alt = (
        f"An image in {side} x {side} patches{f', shuffled with seed {shuffle}' if shuffle else ''}; what each task "
        f"({', '.join(view.title for view in data.tasks.values())}) says about every patch, seen from the one at place "
        f"{anchor}; below the targets of all {side**2} x {side**2} pairs, with that patch's column framed."
        + "".join(f" {data.tasks[name].title}: {verdict}." for name, verdict in said.items())
    )
    return figure
