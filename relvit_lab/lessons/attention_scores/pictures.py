"""Section 3.2 in pictures: attention scores as logits (eq. 8), how wide they spread, how sure and how right they are.

N = side * side patches, K scores for a pair; in all matrices [i, j] asks where i lies, seen from j.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from scipy.special import softmax

from relvit_lab.method.relations import RELATION_NAMES, spatial_relations
from relvit_lab.show.relations import mark_anchor, show_relations
from relvit_lab.show.style import (
    BLUE,
    FAINT,
    GREEN,
    HEAT,
    INK,
    PURPLE,
    SKY,
    VERMILLION,
    Drawing,
    bare,
    frame,
    new_drawing,
    show_picture,
    styled,
    to_array,
    to_picture,
    window,
)

SERIES = ((BLUE, "o", "-"), (VERMILLION, "s", "--"), (GREEN, "^", "-."), (PURPLE, "D", ":"))  # not by colour alone


@styled
def bilinear_form(z, w, i: int, j: int) -> Drawing:
    """Eq. 8 for one K, in numbers: z, W, z^T and z W z^T, with row i, column j and their score framed.

    z: (N, D). w: (D, D). The score is not divided by sqrt(D) here.
    """
    z, w = to_array(z).astype(float), to_array(w).astype(float)
    (n, d), scores = z.shape, z @ w @ z.T
    parts = ((z, f"z\n({n}, {d})"), (w, f"W\n({d}, {d})"), (z.T, f"zᵀ\n({d}, {n})"), (scores, f"z W zᵀ\n({n}, {n})"))
    widths = [part.shape[1] for part, _ in parts]
    figure = new_drawing(0.55 * (sum(widths) + 5), 0.55 * max(n, d) + 1.0)
    axes = figure.subplots(1, 4, width_ratios=widths)
    for ax, (part, title), sign in zip(axes, parts, ("", "×", "×", "=")):
        _numbers(ax, part, 12)
        ax.set_title(title)
        ax.text(-0.85, (part.shape[0] - 1) / 2, sign, ha="center", va="center", fontsize=16)
    for ax, corner, width, height in (
        (axes[0], (-0.5, i - 0.5), d, 1), (axes[2], (j - 0.5, -0.5), 1, d), (axes[3], (j - 0.5, i - 0.5), 1, 1)
    ):  # fmt: skip
        frame(ax, corner, width, height, (VERMILLION, 2.6), clip_on=False)
    figure.alt = f"z times W times z transposed: row {i} of z, W and row {j} of z give the score {scores[i, j]:g}."
    return figure


def _numbers(ax: Axes, values: np.ndarray, size: float) -> None:
    """A matrix as a table of numbers, of `size` points."""
    rows, columns = values.shape
    window(ax, (-0.5, columns - 0.5), (rows - 0.5, -0.5))
    for (y, x), value in np.ndenumerate(values):
        ax.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="#F4F4F4", edgecolor="white", linewidth=2))
        ax.text(x, y, f"{value:g}".replace("-", "−"), ha="center", va="center", fontsize=size)


@styled
def score_maps(scores, side: int, token: int, image=None) -> Drawing:
    """What the nine scores say from one token j: nine maps over the image, the predictions, and how sure they are.

    scores: (9, N, N), logits of eq. 8. image: (C, H, W), or None for a grid of the patches' numbers. The
    maps show the softmax over the nine scores, and lie as their classes do: left top in the corner at the left top.
    Mistakes are crossed.
    """
    column = to_array(scores).astype(float)[:, :, token].reshape(9, side, side)  # (9,N) -> (9,side,side)
    shares = softmax(column, axis=0)
    said, sure = shares.argmax(0), shares.max(0)
    wrong = said != spatial_relations(side).numpy()[:, token].reshape(side, side)  # (N,) -> (side,side)
    figure = Drawing(figsize=(9.6, 4.9))  # laid out by hand: twice as fast to draw, for a slider
    _seen(figure.add_axes((0.01, 0.49, 0.21, 0.41)), image, side, token)
    _key(figure.add_axes((0.01, 0.04, 0.21, 0.36)))
    heat = _nine_maps(figure.add_axes((0.24, 0.02, 0.44, 0.90)), shares, side, token)
    _bar(figure, heat, (0.69, 0.28, 0.011, 0.52))
    ax = figure.add_axes((0.755, 0.55, 0.19, 0.37))
    show_relations(ax, said, crossed=wrong)
    mark_anchor(ax, token, side)
    right = int((~wrong).sum())
    ax.set_title(f"largest of nine: {right} of {side * side} right")
    ax = figure.add_axes((0.755, 0.03, 0.19, 0.37))
    heat = ax.imshow(sure, cmap=HEAT, vmin=0, vmax=1, interpolation="nearest")
    bare(ax, side)
    y, x = np.nonzero(wrong)
    ax.scatter(x, y, marker="x", s=(80 / side) ** 2, linewidths=1.4, c=np.where(sure[wrong] < 0.6, "white", "black"))
    mark_anchor(ax, token, side)
    ax.set_title(f"how sure: {sure.mean():.0%} on average".replace("%", " %"))
    _bar(figure, heat, (0.953, 0.03, 0.011, 0.37))
    figure.alt = (
        f"Nine score maps seen from patch {token}, one for each relation; {right} of {side * side} predictions are "
        f"right, at a mean confidence of {sure.mean():.2f}."
    )
    return figure


def _seen(ax: Axes, image, side: int, token: int) -> None:
    """The image, or the numbers of the patches, with the token framed."""
    if image is not None:
        show_picture(ax, to_picture(image), side)
    else:
        _numbers(ax, np.arange(side * side).reshape(side, side), 11)
    mark_anchor(ax, token, side)
    ax.set_title(f"seen from patch {token}")


def _key(ax: Axes) -> None:
    """What the frame and the cross mean."""
    ax.set(xlim=(0, 1), ylim=(0, 1))
    ax.set_axis_off()
    ax.add_patch(Rectangle((0.04, 0.72), 0.13, 0.13, fill=False, edgecolor=INK, linewidth=2))
    ax.text(0.26, 0.78, "token j", va="center")
    ax.scatter([0.105], [0.5], marker="x", s=80, c=INK, linewidths=1.6)
    ax.text(0.26, 0.5, "mistake", va="center")


def _bar(figure: Drawing, heat, place: tuple[float, float, float, float]) -> None:
    bar = figure.colorbar(heat, cax=figure.add_axes(place), ticks=[0, 0.5, 1])
    bar.outline.set_visible(False)


def _nine_maps(ax: Axes, maps: np.ndarray, side: int, token: int) -> AxesImage:
    """(9, side, side) as a 3 x 3 of heat maps, named, all in one scale. Returns one of them, for a colour bar."""
    step = side * 1.24
    for k, name in enumerate(RELATION_NAMES):
        y, x = (step * place for place in divmod(k, 3))
        heat = ax.imshow(
            maps[k], cmap=HEAT, vmin=0, vmax=1, interpolation="nearest",
            extent=(x - 0.5, x + side - 0.5, y + side - 0.5, y - 0.5),
        )  # fmt: skip
        ax.text(x + side / 2 - 0.5, y - 0.5 - 0.03 * side, name, ha="center", va="bottom")
        row, column = divmod(token, side)
        frame(ax, (x + column - 0.5, y + row - 0.5), 1, 1, ("white", 3.0), (INK, 1.2))
    end = 2 * step + side - 0.5
    window(ax, (-0.6, end + 0.1), (end + 0.1, -0.5 - 0.2 * side))
    ax.set_title("softmax over the nine scores of a pair")
    return heat


@styled
def logit_spread(dims: Sequence[int], spread: Mapping[str, Sequence[float]]) -> Drawing:
    """The standard deviation of fresh scores against D, a line for each way of scaling, both axes logarithmic."""
    figure = new_drawing(7.4, 3.7)
    ax = figure.subplots()
    for (colour, marker, dash), (name, values) in zip(SERIES, spread.items()):
        ax.plot(dims, values, color=colour, marker=marker, linestyle=dash)
        ax.annotate(name, (dims[-1], values[-1]), xytext=(10, 0), textcoords="offset points", color=colour, va="center")
    ax.set(xscale="log", yscale="log", xlabel="D, dimensions of a token", ylabel="spread of the scores at the start")
    ax.set_xticks(dims, [str(dim) for dim in dims])
    ax.minorticks_off()
    low, high = (edge(v for values in spread.values() for v in values) for edge in (min, max))
    ticks = [tick for tick in (0.1, 0.3, 1, 3, 10, 30) if low / 2 <= tick <= high * 2]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.grid(axis="y", color="#E4E4E4")
    words = (
        f"{name}: {values[0]:.2f} at D = {dims[0]}, {values[-1]:.2f} at {dims[-1]}" for name, values in spread.items()
    )
    figure.alt = f"Standard deviation of scores before training. {'; '.join(words)}."
    return figure


@styled
def cost_bars(shares: Mapping[str, float], claim: float | None = None, title: str = "") -> Drawing:
    """Parameters of heads in % of the backbone, as bars; claim: the paper's number, as a dashed line."""
    names, values = list(shares), list(shares.values())
    figure = new_drawing(8.2, 0.42 * len(names) + 1.2)
    ax = figure.subplots()
    ax.barh(names, values, color=SKY, edgecolor=INK, linewidth=0.8, zorder=2)
    ax.invert_yaxis()
    for y, value in enumerate(values):
        ax.annotate(
            f"{value:.1f} %", (value, y), xytext=(6, 0), textcoords="offset points", va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8}, zorder=3,
        )  # fmt: skip
    if claim is not None:
        ax.axvline(claim, color=VERMILLION, linestyle="--", zorder=1)
        ax.text(claim, -0.6, f"the paper: +{claim:g} %", color=VERMILLION, ha="center", va="bottom")
    ax.set(xlim=(0, max(values) * 1.15), xlabel="% of the backbone's parameters")
    ax.set_title(title, loc="left", pad=18)
    figure.alt = "Parameters in % of the backbone: " + "; ".join(f"{n} {v:.1f}" for n, v in shares.items()) + "."
    return figure


@styled
def calibration(confidence, right, bins: int = 10, title: str = "") -> Drawing:
    """How often the predictions of each confidence are right, and how many there are of each.

    confidence: any shape, in [0, 1]. right: of that shape, bool. Bins that hold less than half a percent of the
    predictions have no point: a share of a handful says nothing.
    """
    confidence, right = to_array(confidence).ravel().astype(float), to_array(right).ravel().astype(float)
    of = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(of, minlength=bins)
    there = count >= max(1, 0.005 * count.sum())
    sure = np.bincount(of, confidence, bins)[there] / count[there]
    share = np.bincount(of, right, bins)[there] / count[there]
    figure = new_drawing(8.6, 3.9)
    left, below = figure.subplots(1, 2)
    left.plot([0, 1], [0, 1], color=FAINT, linestyle="--", linewidth=1.4)
    left.text(0.03, 0.98, "dashed: as sure as right", color="#5A5A5A", va="top")
    left.plot(sure, share, color=BLUE, marker="o")
    left.set(xlim=(0, 1), ylim=(0, 1.02), aspect="equal", xlabel="how sure (largest of nine)", ylabel="share right")
    middles = (np.arange(bins) + 0.5) / bins
    below.bar(middles, 100 * count / count.sum(), width=0.9 / bins, color=SKY, edgecolor=INK, linewidth=0.8)
    below.set(xlim=(0, 1), xlabel="how sure", ylabel="% of all pairs")
    heading = f"{confidence.mean():.1%} sure and {right.mean():.1%} right on average".replace("%", " %")
    figure.suptitle(f"{title}: {heading}" if title else heading)
    figure.alt = f"{title or 'Confidence'}: {heading}. " + "; ".join(
        f"{s:.2f} sure, {r:.2f} right" for s, r in zip(sure, share)
    )
    return figure


@styled
def confusions(truth, said, title: str = "") -> Drawing:
    """For each of the nine true relations, laid out like them, how often each of the nine was said, in %.

    truth, said: integers 0..8 of one shape (truth may have fewer dimensions in front). In each compass the true
    relation is framed.
    """
    said = to_array(said).astype(int)
    counts = np.bincount((9 * to_array(truth).astype(int) + said).ravel(), minlength=81).reshape(9, 9)  # [truth, said]
    shares = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure = new_drawing(7.4, 7.0)
    axes = figure.subplots(3, 3)
    for k, ax in enumerate(axes.flat):
        heat = ax.imshow(shares[k].reshape(3, 3), cmap=HEAT, norm=PowerNorm(0.5, 0, 100), interpolation="nearest")
        bare(ax, 3)
        for other in range(9):
            y, x = divmod(other, 3)
            ink = "white" if shares[k, other] < 40 else "black"
            ax.text(x, y, f"{shares[k, other]:.0f}", ha="center", va="center", color=ink, fontsize=11)
        mark_anchor(ax, k, 3)
        ax.set_title(f"true: {RELATION_NAMES[k]}")
    figure.colorbar(heat, ax=axes, ticks=[0, 5, 20, 50, 100], shrink=0.6, label="said, % of these pairs")
    figure.suptitle(title or "When this is true, what is said?")
    others = np.where(np.eye(9), -1, shares)
    figure.alt = "What is said for each true relation, in %. " + "; ".join(
        f"{name}: right {shares[k, k]:.0f}, most often confused with {RELATION_NAMES[others[k].argmax()]}"
        for k, name in enumerate(RELATION_NAMES)
    )
    return figure


@styled
def shuffle_test(rows: Mapping[str, tuple], p) -> Drawing:
    """Scores of an image, of the same image with its patches shuffled, and the former shuffled alike: are they equal?

    rows: by name of the model, (scores, shuffled scores), each (N, N), of one class. p: (N,), token t of the shuffled
    image holds patch p[t]. A row's last panel is the difference between the shuffled image's and the expected scores.
    """
    p = to_array(p).astype(int)
    figure = new_drawing(10.4, 2.6 * len(rows) + 0.3)
    axes = figure.subplots(len(rows), 4, squeeze=False)
    words = []
    for row, (name, pair) in zip(axes, rows.items()):
        plain, shuffled = (to_array(part).astype(float) for part in pair)
        expected = plain[p][:, p]
        low, high = plain.min(), plain.max()
        for ax, values in zip(row, (plain, shuffled, expected)):
            heat = ax.imshow(values, cmap=HEAT, vmin=low, vmax=high, interpolation="nearest")
        off = np.abs(shuffled - expected)
        difference = row[3].imshow(off, cmap=HEAT, vmin=0, vmax=high - low, interpolation="nearest")
        for ax in row:
            ax.set(xticks=[], yticks=[])
        row[0].set_ylabel(name)
        largest = _short(off.max())
        row[3].set_xlabel(f"largest: {largest}")
        figure.colorbar(heat, ax=row[2], shrink=0.8)
        figure.colorbar(difference, ax=row[3], shrink=0.8)
        words.append(f"{name}: largest difference {largest}")
    for ax, title in zip(axes[0], ("S of the image", "S of the shuffled one", "expected: S[p][:, p]", "difference")):
        ax.set_title(title)
    figure.alt = "Score matrices before and after shuffling the patches. " + "; ".join(words) + "."
    return figure


def _short(value: float) -> str:
    return f"{value:.2f}" if value >= 0.01 else "0" if value == 0 else f"{value:.0e}"
