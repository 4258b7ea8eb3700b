"""Section 3.2 on paper: what the attention-score explorer shows, seen from one token; eq. 2's attention by block."""

import numpy as np
from matplotlib.axes import Axes
from scipy.special import softmax

from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.attention_scores.explorer_data import ScoresData
from relvit_lab.lessons.attention_scores.pictures import _short
from relvit_lab.show.model_input import SHUFFLES
from relvit_lab.show.own_image import whole
from relvit_lab.show.relations import _check_anchor, default_anchors, mark_anchor
from relvit_lab.show.style import HEAT, Drawing, bare, new_drawing, show_picture, styled
from relvit_lab.show.task_panels import show_field

BLOCKS = 6  # drawn of a deep backbone, the first and the last among them


@styled
def draw_scores(
    data: ScoresData, task: str | None = None, token: int | None = None, score: int = 0, shuffle: int = 0
) -> Drawing:
    """One score from one token: for each model what it says, the raw score to every patch, and its softmax over K.

    data: from scores_data, or an explorer's `shown`. task: the first where None. token: j, near the centre where None.
    score: k, from 0; for AbsPos all N scores of the token are one map over the places, and score is not used. Raises
    RelvitError for what is not there.
    """
    task = next(iter(data.tasks)) if task is None else task
    if task not in data.tasks:
        raise RelvitError(f"there is no task '{task}' here: take one of {', '.join(data.tasks)}")
    view, side = data.tasks[task], data.side
    shuffle = whole(shuffle, "shuffle", 0, SHUFFLES)
    token = default_anchors(side)[0] if token is None else whole(token, "token")
    _check_anchor(token, side)
    if view.is_class and not 0 <= score < len(view.names):
        raise RelvitError(f"{view.title} has the scores 0 to {len(view.names) - 1}, not {score}")
    columns = 4 if view.is_class else 3
    figure = new_drawing(3.0 * columns, 3.25 * len(data.names) + 0.2)
    rows = figure.subplots(len(data.names), columns, squeeze=False)
    words = []
    for m, (name, axes) in enumerate(zip(data.names, rows)):
        show_picture(axes[0], data.shuffled_picture(shuffle) / 255, side)
        mark_anchor(axes[0], token, side)
        axes[0].set_title(name.replace(" (", "\n("))
        answers = data.answers(shuffle, m)
        if task not in answers.scores:
            for ax in axes[1:]:
                ax.set_axis_off()
            axes[1].text(0.5, 0.5, f"no head for {view.title}", ha="center", transform=axes[1].transAxes)
            continue
        wrong = data.mistakes(task, shuffle, m)
        show_field(axes[1], view, answers.said[task], token, side, wrong)
        here = wrong[:, token] if view.of_pairs else wrong
        axes[1].set_title(f"{view.title}: {int((~here).sum())} of {len(here)} right")
        raw, shares, k = seen_from(answers.scores[task], view.kind, token, score)
        marked = None if k is None else token
        what = "the score" if not view.is_class else f"all {len(raw)} scores of token {token}"
        if view.is_class and k is not None:
            what = f"score k = {k} {view.names[k]}".rstrip()
        _heat(axes[2], raw, side, marked, what, raw.min(), raw.max())
        if view.is_class:
            _heat(axes[3], shares, side, marked, "softmax over K", 0, shares.max() if k is None else 1)
        words.append(f"{name}: {data.verdict(task, shuffle, m)}")
    figure.alt = (
        f"{view.title} seen from token {token}{f', the patches shuffled with seed {shuffle}' if shuffle else ''}: the "
        f"answers, one of the scores and its softmax, as maps over {side} x {side} patches. {'; '.join(words)}."
    )
    return figure


@styled
def draw_two_orders(data: ScoresData, task: str, patch: int, score: int = 0, shuffle: int = 1) -> Drawing:
    """Does a model score the same patches alike in another order? For each model the map of one score, seen from one
    patch, with the patches in order, then shuffled (drawn where they belong), and the difference.

    data: from scores_data, or an explorer's `shown`. task: one about pairs. patch: j, in the image. score: k. Under the
    difference stands the largest of it, here and over all pairs and scores. Raises RelvitError for what is not there.
    """
    view = data.tasks.get(task)
    if view is None or not view.of_pairs:
        pairs = [name for name, each in data.tasks.items() if each.of_pairs]
        raise RelvitError(f"there is no task '{task}' on pairs here: take one of {', '.join(pairs) or 'none'}")
    side, shuffle = data.side, whole(shuffle, "shuffle", 0, SHUFFLES)
    _check_anchor(patch, side)
    figure = new_drawing(12, 3.15 * len(data.names) + 0.2)
    rows = figure.subplots(len(data.names), 4, squeeze=False)
    back = np.argsort(data.permutations[shuffle])  # patch i is token back[i] of the shuffled image
    words = []
    for m, (name, axes) in enumerate(zip(data.names, rows)):
        show_picture(axes[0], data.picture / 255, side)
        mark_anchor(axes[0], patch, side)
        axes[0].set_title(name.replace(" (", "\n("))
        plain, moved = (data.answers(s, m).scores.get(task) for s in (0, shuffle))
        if plain is None or not 0 <= score < len(plain):
            raise RelvitError(f"{name} has no score {score} for {view.title}")
        first, then = plain[score, :, patch], moved[score, back, back[patch]]  # (N,) each
        low, high = min(first.min(), then.min()), max(first.max(), then.max())
        _heat(axes[1], first, side, patch, "in order", low, high)
        _heat(axes[2], then, side, patch, "shuffled, drawn in order", low, high)
        _heat(axes[3], np.abs(then - first), side, patch, "difference", 0, high - low)
        here, all_ = (_short(value) for value in (np.abs(then - first).max(), data.drift(task, shuffle, m)))
        axes[3].set_xlabel(f"at most {here}; over all pairs {all_}")
        words.append(f"{name}: at most {here}")
    what = f"score k = {score} {view.names[score]}".rstrip() if view.is_class else "the score"
    figure.suptitle(f"{view.title}, {what}, seen from patch {patch}")
    figure.alt = (
        f"{view.title}, {what}, seen from patch {patch}: the map of the image in order, of the shuffled one with its "
        f"patches drawn where they belong, and their difference. {'; '.join(words)}."
    )
    return figure


def seen_from(scores: np.ndarray, kind: str, token: int, score: int) -> tuple[np.ndarray, np.ndarray, int | None]:
    """The map of one score and of its softmax over K, (N,) each, and its k; None where one map holds all K scores.

    scores: (K, N, N) or (K, N). kind: of a TaskView.
    """
    if kind == "places":
        return scores[:, token], softmax(scores[:, token]), None
    column = scores[:, :, token] if scores.ndim == 3 else scores  # (K,N)
    k = min(score, len(column) - 1)
    return column[k], softmax(column, axis=0)[k], k


def _heat(ax: Axes, values: np.ndarray, side: int, token: int | None, title: str, low: float, high: float) -> None:
    heat = ax.imshow(values.reshape(side, side), cmap=HEAT, vmin=low, vmax=high, interpolation="nearest")
    bare(ax, side)
    if token is not None:
        mark_anchor(ax, token, side)
    ax.set_title(title)
    ax.figure.colorbar(heat, ax=ax, fraction=0.05, aspect=18, pad=0.03).outline.set_visible(False)


@styled
def draw_attention(data: ScoresData, token: int | None = None, shuffle: int = 0, model: int = 0) -> Drawing:
    """Attention inside the backbone, block by block: how much token j looks at each patch, mean of heads and each head.

    data, token, shuffle: as draw_scores has them. model: which of two. A row has one colour scale, from 0. Raises
    RelvitError where the backbone has no such maps.
    """
    shuffle = whole(shuffle, "shuffle", 0, SHUFFLES)
    maps = data.answers(shuffle, model).attention  # (L,heads,T,T)
    if maps is None:
        raise RelvitError(f"no attention maps: {data.without_attention(model)}")
    side, prefix = data.side, data.prefix(model)
    token = default_anchors(side)[0] if token is None else whole(token, "token")
    _check_anchor(token, side)
    rows = maps[:, :, prefix + token]  # (L,heads,T)
    rows = np.concatenate([rows.mean(1, keepdims=True), rows], axis=1)[..., prefix:]  # (L,1+heads,N)
    blocks = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), BLOCKS)).round().astype(int))
    figure = new_drawing(1.9 * rows.shape[1] + 1.0, 1.85 * len(blocks) + 0.5)
    axes = figure.subplots(len(blocks), rows.shape[1], squeeze=False)
    for line, block in zip(axes, blocks):
        for h, ax in enumerate(line):
            heat = ax.imshow(
                100 * rows[block, h].reshape(side, side), cmap=HEAT, vmin=0, vmax=100 * rows[block].max(),
                interpolation="nearest",
            )  # fmt: skip
            bare(ax, side)
            mark_anchor(ax, token, side)
        line[0].set_ylabel(f"block {block + 1}")
        figure.colorbar(heat, ax=line, fraction=0.03, aspect=14, pad=0.01).outline.set_visible(False)
    for h, ax in enumerate(axes[0]):
        ax.set_title(f"head {h}" if h else "mean of heads")
    figure.suptitle(f"{data.names[model]}: how much token {token} looks at each patch, in %")
    figure.alt = (
        f"Attention of token {token} to the {side} x {side} patches in blocks "
        f"{', '.join(str(b + 1) for b in blocks)}, the mean of {rows.shape[1] - 1} heads and each head. Largest share: "
        + ", ".join(f"block {b + 1} {100 * rows[b].max():.1f} %" for b in blocks)
        + "."
    )
    return figure
