"""Sections 3.2.1 and 4.1 in pictures: cuts, cells, what they cost, and what a patch still tells of its neighbour.

Nothing is computed here but the picture: each function draws numbers that it is given.
"""

from collections.abc import Mapping
from itertools import pairwise, product

import numpy as np
from matplotlib.ticker import NullFormatter

from relvit_lab.show.style import (
    BLACK,
    BLUE,
    FAINT,
    INK,
    ORANGE,
    SKY,
    VERMILLION,
    Drawing,
    frame,
    new_drawing,
    show_picture,
    styled,
    to_array,
    to_picture,
    window,
)

HATCH = "///"  # beside the colour, so that bars and frames are told apart in grey


@styled
def layouts(image, cuts: Mapping[str, object], patch: int, mark_squares: bool = False) -> Drawing:
    """Section 3.2.1: one image under several sets of cuts, each cell with its number, the class of AbsPos.

    image: (C, H, W). cuts: by title, (2, M - 1) integers in patches, rows first. patch: P, in pixels.
    mark_squares: frame and hatch the cells that are square, which resizing to P x P leaves in shape.
    """
    picture = to_picture(image)
    side = len(picture) // patch
    figure = new_drawing(3.4 * len(cuts), 3.75)
    words = []
    for ax, (title, places) in zip(figure.subplots(1, len(cuts), squeeze=False)[0], cuts.items()):
        # where each begins and ends
        rows, columns = (pairwise([0, *axis, side]) for axis in to_array(places).astype(int).tolist())
        show_picture(ax, picture, side, faded=0.25)
        squares, cells = 0, list(product(rows, columns))
        for number, ((top, bottom), (left, right)) in enumerate(cells):
            y, x, height, width = top - 0.5, left - 0.5, bottom - top, right - left
            squares += height == width
            marked = mark_squares and height == width
            frame(ax, (x, y), width, height, ("white", 3.5), (INK, 1.2))  # seen on light and on dark
            if marked:
                frame(ax, (x, y), width, height, (ORANGE, 0), hatch="//", alpha=0.95)
                frame(ax, (x + 0.16, y + 0.16), width - 0.32, height - 0.32, (ORANGE, 3))
            ax.text(  # its label is all that is seen of a very small cell
                x + width / 2, y + height / 2, str(number), ha="center", va="center_baseline", fontsize=10,
                color=BLACK if marked else "white",
                bbox={"boxstyle": "round,pad=0.12", "facecolor": ORANGE if marked else INK, "linewidth": 0},
            )  # fmt: skip
        ax.set_title(title)
        said = f"{squares} of {len(cells)} cells are square" if mark_squares else f"{len(cells)} cells"
        if mark_squares:
            ax.set_xlabel(said)
        words.append(f"{title}: {said}")
    figure.alt = f"A photograph cut into numbered rectangles. {'; '.join(words)}."
    return figure


@styled
def cell_sizes(sizes: Mapping[int, tuple[object, object]], side: int) -> Drawing:
    """How much of an image a mega-patch holds, and how far it is from a square, by M.

    sizes: by M, the heights and the widths of many random cells, in patches. side: patches a side of the image.
    Dots are means, bars reach from the 5th to the 95th percentile.
    """
    figure = new_drawing(9.6, 3.3)
    left, right = figure.subplots(1, 2)
    words = []
    for k, (m, (heights, widths)) in enumerate(sizes.items()):
        heights, widths = to_array(heights).astype(float).ravel(), to_array(widths).astype(float).ravel()
        area = heights * widths
        longer = np.maximum(heights, widths) / np.minimum(heights, widths)
        for ax, values, colour, marker in ((left, area, BLUE, "o"), (right, longer, VERMILLION, "D")):
            low, high = np.percentile(values, [5, 95])
            ax.plot([k, k], [low, high], color=colour, linewidth=5, alpha=0.35, solid_capstyle="butt")
            ax.plot(k, values.mean(), marker, color=colour, markersize=7)
            ax.text(k + 0.14, values.mean(), f"{values.mean():.1f}", va="center", fontsize=10)
        words.append(f"M = {m}: {area.mean():.1f} patches, {longer.mean():.1f} times as long as wide")
    for ax, title in ((left, "area of a mega-patch, in patches"), (right, "its longer side / its shorter side")):
        ax.set_title(title, loc="left")
        ax.set_xticks(range(len(sizes)), [str(m) for m in sizes])
        ax.set(xlabel="M, mega-patches a side", xlim=(-0.4, len(sizes) - 0.4))
    left.set_yscale("log")
    left.set_yticks([1, 3, 10, 30, 100], ["1", "3", "10", "30", "100"])
    left.yaxis.set_minor_formatter(NullFormatter())
    right.set_ylim(bottom=0)
    figure.suptitle(f"Random cells of a grid of {side} x {side} patches: mean, and 5 % to 95 %", fontsize=12)
    figure.alt = f"What a random mega-patch holds of a grid of {side} x {side} patches. {'; '.join(words)}."
    return figure


@styled
def tokens_and_time(seconds: Mapping[int, float], what: str) -> Drawing:
    """Measured times by M, beside what they would be if they grew as the tokens, or as the pairs of tokens.

    seconds: by M. Both lines start in the point of the largest M, with which M = 5 is compared in the title. Axes are
    logarithmic.
    """
    ms = sorted(seconds)
    tokens, times = np.array([m * m for m in ms]), np.array([1000 * seconds[m] for m in ms])
    figure = new_drawing(7.6, 4.2)
    ax = figure.subplots()
    for power, name, style, colour in ((1, "as the tokens", "--", BLUE), (2, "as the pairs", ":", VERMILLION)):
        line = times[-1] * (tokens / tokens[-1]) ** power
        ax.plot(tokens, line, style, color=colour, label=name)
    ax.plot(tokens, times, "o-", color=INK, linewidth=1, markersize=7, label="measured")
    for m, x, y in zip(ms, tokens, times):
        ax.annotate(
            f"M = {m}", (x, y), xytext=(5, -12), textcoords="offset points", va="center", fontsize=10,
            bbox={"facecolor": "white", "alpha": 0.85, "linewidth": 0, "pad": 1}, zorder=2.1,
        )  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="tokens, N = M²", ylabel="milliseconds")
    ax.set_xticks(tokens, [str(n) for n in tokens])
    low, high = min(times[0], times[-1] * tokens[0] / tokens[-1]) / 4, times.max() * 1.6
    ax.set(ylim=(low, high), xlim=(tokens[0] / 1.25, tokens[-1] * 1.7))
    ticks = [tick for power in range(-3, 7) for tick in (10.0**power, 3 * 10.0**power) if low < tick < high]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_formatter(NullFormatter())
        axis.set_tick_params(which="minor", length=0)
    ax.legend(loc="upper left", frameon=False)
    ratio = seconds[ms[-1]] / seconds[5]
    ax.set_title(f"{what}:\n{ratio:.1f} times faster at 25 tokens than at {tokens[-1]}", loc="left")
    points = "; ".join(f"{n} tokens {time:.3g} ms" for n, time in zip(tokens, times))
    figure.alt = f"Time of {what} by the number of tokens, measured: {points}."
    return figure


@styled
def border_pair(pairs: Mapping[str, object]) -> Drawing:
    """Two neighbouring patches, and the pixels on both sides of their border, before and after what is done to them.

    pairs: by title, (2, 3, P, P): the left patch, then the right one, in [0, 1]. Above the patches, below the grey
    values down the border: the left patch's last column and the right patch's first.
    """
    figure = new_drawing(3.5 * len(pairs), 5.0)
    axes = figure.subplots(2, len(pairs), squeeze=False, height_ratios=[1, 1.05], sharey="row")
    words = []
    for (above, below), (title, pair) in zip(axes.T, pairs.items()):
        pair = to_array(pair)
        p = pair.shape[-1]
        for x, patch in zip((0, 1.06), pair):
            above.imshow(to_picture(patch), extent=(x, x + 1, 1, 0), interpolation="nearest")
        window(above, (-0.02, 2.08), (1.02, -0.02))
        above.set_title(title)
        last, first = pair[0, :, :, -1], pair[1, :, :, 0]  # (3,P)
        gap = float(np.abs(last - first).mean())
        last, first = last.mean(0), first.mean(0)  # (3,P) -> (P,)
        below.fill_between(range(p), last, first, color=FAINT, alpha=0.25, linewidth=0)
        below.plot(last, "-o", color=BLUE, markersize=4, label="left patch, last column")
        below.plot(first, "--s", color=VERMILLION, markersize=4, label="right patch, first column")
        below.set_xticks(range(0, p, max(1, p // 4)))
        below.set(xlabel=f"row of the border\nmean difference {gap:.3f}", ylim=(0, 1), xlim=(-0.5, p - 0.5))
        words.append(f"{title}: mean difference {gap:.3f}")
    axes[1, 0].set_ylabel("mean of the channels")
    handles, labels = axes[1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False, fontsize=11)
    figure.alt = f"Two neighbouring patches and the pixels along their border. {'; '.join(words)}."
    return figure


@styled
def gap_histograms(gaps: Mapping[str, tuple[object, object]]) -> Drawing:
    """How far apart the pixels on both sides of a border are: of neighbours, and of patches that do not touch.

    gaps: by title, the differences of neighbouring pairs and those of pairs that do not touch, both flat.
    """
    figure = new_drawing(3.4 * len(gaps), 3.6)
    axes = figure.subplots(1, len(gaps), squeeze=False)[0]
    top = max(float(to_array(values).max()) for pair in gaps.values() for values in pair)
    bins = np.linspace(0, top, 26)
    words = []
    for ax, (title, (near, far)) in zip(axes, gaps.items()):
        near, far = to_array(near).ravel(), to_array(far).ravel()
        for values, colour, hatch, name in ((far, SKY, None, "not touching"), (near, VERMILLION, HATCH, "neighbours")):
            share = np.full(len(values), 100 / len(values))
            ax.hist(
                values, bins, weights=share, color=colour, alpha=0.75, hatch=hatch, edgecolor="white", linewidth=0.5,
                label=f"{name}, mean {values.mean():.3f}",
            )  # fmt: skip
        ax.set_title(title)
        ax.set_xlabel("difference across the border")
        ax.legend(loc="upper right", frameon=False, fontsize=10)
        words.append(f"{title}: neighbours {near.mean():.3f}, others {far.mean():.3f}")
    highest = max(ax.get_ylim()[1] for ax in axes)
    for ax in axes:
        ax.set_ylim(0, highest * 1.25)  # room for the legend
    axes[0].set_ylabel("% of pairs")
    figure.alt = f"Differences across the border of two patches, histograms. {'; '.join(words)}."
    return figure


@styled
def neighbours_found(found: Mapping[str, Mapping[str, float]], chance: float) -> Drawing:
    """How often the true neighbour is found by matching borders, for what was done to the patches and how one matches.

    found: by what was done, then by the way of matching, in %. chance: in %.
    """
    ways = list(dict.fromkeys(way for rates in found.values() for way in rates))
    figure = new_drawing(max(5.5, 2.1 * len(found) + 1.5), 3.6)
    ax = figure.subplots()
    width = 0.8 / max(1, len(ways))
    words = []
    for k, way in enumerate(ways):
        at = np.arange(len(found)) + (k - (len(ways) - 1) / 2) * width
        rates = [rates[way] for rates in found.values()]
        ax.bar(
            at, rates, width * 0.94, color=(BLUE, ORANGE)[k % 2], hatch=(None, HATCH)[k % 2], edgecolor="white",
            linewidth=0.5, label=way,
        )  # fmt: skip
        for x, (done, rate) in zip(at, zip(found, rates)):
            ax.text(x, rate + 1.5, f"{rate:.0f}", ha="center", fontsize=11)
            words.append(f"{done}, {way}: {rate:.0f} %")
    ax.axhline(chance, color=INK, linestyle="--", linewidth=1.2)
    ax.text(len(found) - 0.45, chance + 1.5, f"chance {chance:.1f}", ha="left", va="bottom", fontsize=10)
    ax.set_xticks(range(len(found)), list(found))
    ax.set(ylim=(0, 108), xlim=(-0.6, len(found) + 0.15), ylabel="right neighbours found, %")
    ax.legend(frameon=False, loc="upper right", title="matching by")
    figure.alt = f"Share of right neighbours found by their border. {'; '.join(words)}. By chance: {chance:.1f} %."
    return figure


@styled
def patch_gallery(pictures: Mapping[str, object], patch: int, marked: Mapping[str, object] | None = None) -> Drawing:
    """Several versions of one image, patch by patch, side by side; some patches framed.

    pictures: by title, (C, H, W) in [0, 1]. patch: P, in pixels. marked: by title, (N,) bool, which patches to frame;
    their share is written below.
    """
    figure = new_drawing(3.3 * len(pictures), 3.75 if marked else 3.6)
    words = []
    for ax, (title, image) in zip(figure.subplots(1, len(pictures), squeeze=False)[0], pictures.items()):
        picture = to_picture(image)
        side = len(picture) // patch
        show_picture(ax, picture, side)
        ax.set_title(title)
        words.append(title)
        if marked is None or title not in marked:
            continue
        flags = to_array(marked[title]).astype(bool)
        for place in np.flatnonzero(flags):
            y, x = divmod(int(place), side)
            frame(ax, (x - 0.42, y - 0.42), 0.84, 0.84, ("white", 2.2), (VERMILLION, 1.1))
        said = f"{int(flags.sum())} of {len(flags)} patches flat"
        ax.set_xlabel(said)
        words[-1] += f": {said}"
    figure.alt = f"One photograph, its patches changed in several ways. {'; '.join(words)}."
    return figure


@styled
def against_none(table: Mapping[str, tuple[float, Mapping[int, float]]]) -> Drawing:
    """Table 5 as differences: accuracy with M mega-patches a side minus accuracy without, a column for each model.

    table: by column, the accuracy without mega-patches and the accuracies by M, in %.
    """
    figure = new_drawing(max(7.2, 1.55 * len(table) + 1.0), 4.0)
    ax = figure.subplots()
    ax.axhline(0, color=INK, linewidth=1.2)
    words = []
    for k, (name, (without, by_m)) in enumerate(table.items()):
        differences = {m: accuracy - without for m, accuracy in by_m.items()}
        mean = sum(differences.values()) / len(differences)
        best = max(differences, key=lambda m: differences[m])
        lanes: list[float] = []  # where the last circle of each stands: one that would cover it goes a lane further
        for m, value in sorted(differences.items(), key=lambda entry: -entry[1]):
            lane = next((n for n, last in enumerate(lanes) if last - value > 0.27), len(lanes))
            lanes[lane : lane + 1] = [value]
            x = k - 0.06 - 0.19 * lane
            ax.plot(x, value, "o", color=BLUE if m == best else SKY, markersize=17, zorder=3)
            ax.text(
                x, value, str(m), ha="center", va="center_baseline", fontsize=10, zorder=4,
                color="white" if m == best else "black",
            )  # fmt: skip
        ax.plot([k + 0.06, k + 0.26], [mean, mean], color=VERMILLION, linewidth=4, solid_capstyle="butt")
        ax.text(k + 0.28, mean, f"{mean:+.2f}", va="center", fontsize=10)
        words.append(f"{name}: best M = {best}, {differences[best]:+.2f}; mean over M {mean:+.2f}")
    ax.set_xticks(range(len(table)), list(table))
    ax.set(xlim=(-0.5, len(table) - 0.2), ylabel="points against no mega-patches")
    ax.set_title("Table 5: circles are values of M (dark: the best), bars the mean over M", loc="left")
    figure.alt = f"Accuracy with mega-patches minus accuracy without. {'; '.join(words)}."
    return figure
