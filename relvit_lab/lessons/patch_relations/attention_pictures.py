"""Eq. 2 in pictures: one token's attention in numbers to be checked on paper, and a trained model's on a photograph."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from relvit_lab.show.relations import mark_anchor
from relvit_lab.show.style import (
    BLUE,
    HEAT,
    INK,
    Drawing,
    bare,
    new_drawing,
    show_picture,
    styled,
    to_array,
    to_picture,
)

QUERY, KEY, VALUE = "#F6C9AE", "#F4F4F4", "#CFE3F1"


@styled
def attention_by_hand(query, keys, values) -> Drawing:
    """Eq. 2 for one token and one head: scores, shares and mix, each token a line, as one would work it out on paper.

    query: (d,). keys: (n, d). values: (n, m). At most 6 of anything fit.
    """
    q, k, v = (to_array(part).astype(float) for part in (query, keys, values))
    (n, d), m = k.shape, v.shape[1]
    products = k * q  # (n,d)
    scores = products.sum(1) / np.sqrt(d)
    powers = np.exp(scores)
    shares = powers / powers.sum()
    mixed = shares @ v  # (n,) (n,m) -> (m,)

    sums_said = [f"{_sum(products[j])} = {_short(products[j].sum())}" for j in range(n)]
    wide = 0.21 * max(map(len, sums_said)) + 0.3  # of these
    # where each column after the first begins
    key, total, score, power, share, value, part = np.cumsum([2.4, d + 0.5, wide + 0.3, 2.0, 1.8, 3.0, m + 0.5])
    end, sums = part + 1.15 * m + 0.1, 2.2 + n  # right edge; height of the line of sums
    figure = new_drawing(0.46 * end, 0.46 * (sums + 1.3))
    figure.math = True
    ax = figure.subplots()
    ax.set(xlim=(-0.1, end), ylim=(sums + 0.6, -0.9), aspect="equal")
    ax.set_axis_off()
    ax.text(0, 0, "query q", va="center", fontweight="bold")
    _cells(ax, q, key, 0, QUERY)
    heads = (
        (0, "token", "left"), (key + d / 2, "key k", "center"), (total + wide / 2, "q · k", "center"),
        (score + 0.8, f"score:\nq · k / √{d}", "center"), (power + 0.7, r"$\mathbf{e}^{\mathbf{score}}$", "center"),
        (share, "share", "left"), (value + m / 2, "value v", "center"), (part + 1.15 * m / 2, "share · v", "center"),
    )  # fmt: skip
    for x, text, side in heads:
        ax.text(x, 1.0, text, ha=side, va="center", fontweight="bold")
    for j in range(n):
        y = 2.0 + j
        ax.text(0, y, str(j), va="center", fontsize=12)
        _cells(ax, k[j], key, y, KEY)
        ax.text(total + wide / 2, y, sums_said[j], ha="center", va="center")
        ax.text(score + 0.8, y, _short(scores[j]), ha="center", va="center")
        ax.text(power + 0.7, y, f"{powers[j]:.2f}", ha="center", va="center")
        ax.add_patch(Rectangle((share, y - 0.3), 1.1 * shares[j], 0.6, facecolor=BLUE))
        ax.text(share + 1.2, y, f"{100 * shares[j]:.0f} %", va="center")
        _cells(ax, v[j], value, y, VALUE)
        for t, number in enumerate(shares[j] * v[j]):
            ax.text(part + 1.15 * (t + 0.5), y, _short(number), ha="center", va="center")
    ax.hlines(sums - 0.65, power + 0.1, end - 0.1, color=INK, linewidth=1.2)
    ax.text(power + 0.7, sums, f"{powers.sum():.2f}", ha="center", va="center")
    ax.text(share + 1.2, sums, "100 %", va="center")
    ax.text(part - 0.15, sums, "it takes", ha="right", va="center")
    for t, number in enumerate(mixed):
        ax.text(part + 1.15 * (t + 0.5), sums, _short(number), ha="center", va="center", fontweight="bold")
    figure.alt = (
        f"A query against {n} keys: "
        + "; ".join(
            f"token {j}: product {_short(products[j].sum())}, score {_short(scores[j])}, share {100 * shares[j]:.0f} %"
            for j in range(n)
        )
        + f". The values in these shares add up to {', '.join(map(_short, mixed))}."
    )
    return figure


@styled
def attention_on_image(image, maps: Mapping[str, object], tokens: Sequence[int]) -> Drawing:
    """Eq. 2 on an image: how much chosen patches (a row each, framed) look at every patch, in several heads.

    image: (C, H, W). maps: by title, the attention of one head, (T, T): row i are the shares of token i; the patches
    are the last side * side of the T tokens. tokens: patches, from 0. One colour scale for each panel, from 0, its
    largest share below.
    """
    picture, heads = to_picture(image), {title: to_array(one).astype(float) for title, one in maps.items()}
    count = len(next(iter(heads.values())))
    side = int(np.sqrt(count))
    figure = new_drawing(2.35 * (1 + len(heads)), 2.6 * len(tokens) + 0.3)
    rows = figure.subplots(len(tokens), 1 + len(heads), squeeze=False)
    words = []
    for row, token in zip(rows, tokens):
        show_picture(row[0], picture, side)
        mark_anchor(row[0], token, side)
        row[0].set_xlabel(f"patch {token} looks")
        for ax, (title, one) in zip(row[1:], heads.items()):
            shares = one[count - side * side + token, count - side * side :]  # (T,T) -> (N,): CLS is no place
            ax.imshow(shares.reshape(side, side), cmap=HEAT, vmin=0, vmax=shares.max(), interpolation="nearest")
            bare(ax, side)
            mark_anchor(ax, token, side)
            ax.set_xlabel(f"most: {100 * shares.max():.1f} %")
            words.append(f"patch {token}, {title}: at most {100 * shares.max():.1f} % at patch {shares.argmax()}")
    for ax, title in zip(rows[0], ("", *heads)):
        ax.set_title(title)
    figure.alt = f"How much each framed patch looks at the {side} x {side} patches of an image. {'; '.join(words)}."
    return figure


def _cells(ax: Axes, values: np.ndarray, x: float, y: float, colour: str) -> None:
    """A row of numbers in boxes, beginning at x."""
    for t, number in enumerate(values):
        box = Rectangle((x + t, y - 0.42), 1, 0.84, facecolor=colour, edgecolor="white", linewidth=2)
        ax.add_patch(box)
        said = _short(number)
        ax.text(x + t + 0.5, y, said, ha="center", va="center", fontsize=12 if len(said) < 4 else 10)


def _sum(numbers: np.ndarray) -> str:
    """Numbers as a sum: 2 + 0 − 2."""
    first, *others = numbers
    return _short(first) + "".join(f" {'−' if each < 0 else '+'} {_short(abs(each))}" for each in others)


def _short(number: float) -> str:
    """Two decimals at most, and no more than it needs."""
    said = f"{number:.2f}".rstrip("0").rstrip(".")
    return said.replace("-", "−") if said != "-0" else "0"
