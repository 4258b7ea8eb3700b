"""Figure 2: from patches through the transformer to tokens, and from the tokens to the four heads (eq. 1-4, 8, 9)."""

import matplotlib
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from torch import Tensor

from relvit_lab.method.augment import patch_augment
from relvit_lab.method.patches import draw_permutations, mega_patches, patchify, permute, unpatchify
from relvit_lab.method.relations import absolute_positions, angles, distances, spatial_relations
from relvit_lab.show.diagram import arrow, box, credit, grid, line, patches_apart, picture, sheet, words
from relvit_lab.show.photographs import photograph
from relvit_lab.show.relations import RELATION_COLOURS
from relvit_lab.show.style import BLACK, BLUE, FAINT, HEAT, Drawing, styled

SIDE, P = 4, 44  # patches a side, pixels of each
HEADS = (
    # name, the head's equation, its output's shape, what it learns, the loss's equation
    ("SpRel", r"$\phi(\mathbf{z}, \mathbf{z})$", r"$N \times N \times 9$", "on which side?", "10"),
    ("Dist", r"$\phi(\mathbf{z}, \mathbf{z})$", r"$N \times N \times 1$", "how far?", "12"),
    ("Ang", r"$\phi(\mathbf{z}, \mathbf{z})$", r"$N \times N \times 1$", "at what angle?", "13"),
    ("AbsPos", r"$\phi(\mathbf{z})$", r"$N \times N$", "which place?", "11"),
)
SOFT = "#555555"
HEAD_FILLS = {True: "#FBF1DC", False: "#E3F1EC"}  # of attention scores, of fully connected layers
LIGHT = {"edge": FAINT, "style": (0, (4, 2)), "thick": 1.2}
DEPENDS = (0, (4, 2))  # the line of what is not always there
ROW, AXIS = 138, 420  # pixels: from one head to the next; the height of the main line


@styled
def architecture_figure() -> Drawing:
    """Patches, ViT, tokens, four heads; what may be done to the patches before is drawn lightly."""
    drawing, ax = sheet(1600, 760)
    image = torch.from_numpy(photograph(SIDE * P, "china")).permute(2, 0, 1)[None]  # (H,W,3) -> (1,3,H,W)
    _input(ax, image)
    _options(ax, image)
    _transformer(ax)
    _classifier(ax)
    _heads(ax)
    credit(ax, "china")
    drawing.alt = (
        "The RelViT architecture, from left to right: an image x is cut into N patches x_p; in pre-training they may "
        "be made of mega-patches, are augmented one by one, and may be shuffled. The matrix E projects them to tokens "
        "z_0, together with CLS; positional embeddings are left out in pre-training. L transformer blocks give the "
        "tokens z_L. CLS leads to the class. All patch tokens z lead to four heads: SpRel, Dist and Ang are attention "
        "scores phi(z, z) with N x N x 9, N x N x 1 and N x N x 1 outputs; AbsPos is a fully connected layer with "
        "N x N logits. Beside each head its target for 16 patches is shown as a matrix."
    )
    return drawing


def _pixels(images: Tensor) -> np.ndarray:
    return images[0].permute(1, 2, 0).double().numpy()  # (1,3,H,W) -> (H,W,3)


def _input(ax: Axes, image: Tensor) -> None:
    words(ax, 105, AXIS - 122, r"image $\mathbf{x}$", size=14)
    picture(ax, _pixels(image), 20, AXIS - 85, 170)
    grid(ax, 20, AXIS - 85, 170, SIDE)
    words(ax, 105, AXIS + 106, r"$C \times H \times W$", size=13)
    arrow(ax, (196, AXIS), (232, AXIS))
    words(ax, 337, AXIS - 122, r"$N$ patches $\mathbf{x}_p$", size=14)
    patches_apart(ax, _pixels(image), SIDE, 240, AXIS - 97, P, 6)
    words(ax, 337, AXIS + 118, r"$N \times (P^2 \cdot C)$", size=13)
    arrow(ax, (440, AXIS), (474, AXIS))


def _options(ax: Axes, image: Tensor) -> None:
    """Mega-patches, patch augmentation and shuffle, each shown on the same image."""
    generator = torch.Generator().manual_seed(4)
    mega, _ = mega_patches(image, 3, P, generator)
    augmented = unpatchify(patch_augment(patchify(image, P), generator=generator))
    shuffled = permute(image, draw_permutations(1, SIDE * SIDE, generator))
    box(ax, 14, 582, 506, 164, **LIGHT)
    words(ax, 267, 600, "in pre-training, the patches may be", size=12, color=SOFT)
    shown = (("mega-patches", mega, 3), ("augmented", augmented, SIDE), ("shuffled", shuffled, SIDE))
    for k, (title, images, count) in enumerate(shown):
        x = 104 + 163 * k
        patches_apart(ax, _pixels(images), count, x - 49, 617, (98 - 4 * (count - 1)) / count, 4)
        words(ax, x, 737, title, size=12, color=SOFT, va="baseline")
    arrow(ax, (337, 582), (337, AXIS + 134), FAINT, DEPENDS, thick=1.4)


def _transformer(ax: Axes) -> None:
    box(ax, 478, AXIS - 34, 50, 68, r"$\mathbf{E}$", fill="#EEF3F7", size=17)
    arrow(ax, (530, AXIS), (556, AXIS))
    _tokens(ax, 562, r"$\mathbf{z}_0$", r"$(N{+}1) \times D$")
    box(ax, 486, 150, 192, 74, "$+\\;\\mathbf{E}_{pos}$\nnot in pre-training", size=11, color=SOFT, **LIGHT)
    arrow(ax, (582, 226), (582, 250), FAINT, DEPENDS, thick=1.4)
    arrow(ax, (608, AXIS), (634, AXIS))
    box(ax, 638, 262, 196, 316, fill="#EEF3F7")
    words(ax, 736, 290, "transformer", size=14, weight="bold")
    blocks = (("self-attention", "MSA"), ("MLP", "MLP"))
    for y, (name, symbol) in zip((314, 402), blocks):
        box(ax, 650, y, 172, 70, f"{name}\n" + rf"$\mathbf{{z}} + ${symbol}(LN$(\mathbf{{z}}))$", size=12)
    arrow(ax, (736, 386), (736, 400), thick=1.3, head=9)
    words(ax, 736, 508, "$L$ such blocks", size=13)
    words(ax, 736, 548, "eq. 2, 3", size=11, color=SOFT)
    arrow(ax, (838, AXIS), (862, AXIS))
    _tokens(ax, 868, r"$\mathbf{z}_L$", "patch tokens\n" + r"$\mathbf{z}$: $N \times D$", left=True)


def _tokens(ax: Axes, x: float, name: str, shape: str, left: bool = False) -> None:
    """A column of tokens: CLS, then one for each patch. left: its shape stands left of its right edge."""
    words(ax, x + 20, AXIS - 156, name, size=15)
    box(ax, x, AXIS - 136, 40, 34, "CLS", fill=BLACK, color="white", size=10, weight="bold", round_by=5)
    for k in range(6):
        y = AXIS - 90 + 40 * k
        if k == 4:
            words(ax, x + 20, y + 15, r"$\vdots$", size=15)
        else:
            box(ax, x, y, 40, 34, ("1", "2", "3", "4", "", "$N$")[k], fill="#CFE3F1", edge=BLUE, size=11, round_by=5)
    words(ax, x + 50 if left else x + 20, AXIS + 170, shape, size=12, va="top", ha="right" if left else "center")


def _classifier(ax: Axes) -> None:
    line(ax, (888, 888), (AXIS - 170, 72))
    arrow(ax, (888, 72), (948, 72))
    box(ax, 952, 44, 228, 56, "classifier", size=14)
    arrow(ax, (1184, 72), (1216, 72))
    words(ax, 1226, 72, "class (fine-tuning, joint training)", size=13, ha="left")


def _heads(ax: Axes) -> None:
    trunk, first = 936, 200
    ends = first, first + 3 * ROW
    line(ax, (916, 922, 922, 916), (AXIS - 90, AXIS - 90, AXIS + 144, AXIS + 144), thick=1.4)
    line(ax, (922, trunk), (AXIS, AXIS))
    line(ax, (trunk, trunk), ends)
    targets = spatial_relations(SIDE), distances(SIDE), angles(SIDE), absolute_positions(SIDE)
    for k, ((name, symbol, shape, question, loss), target) in enumerate(zip(HEADS, targets)):
        y, pair = first + ROW * k, target.dim() == 2
        arrow(ax, (trunk, y), (948, y))
        kind = "attention scores, eq. 8" if pair else "fully connected, eq. 9"
        box(ax, 952, y - 45, 228, 90, fill=HEAD_FILLS[pair])
        words(ax, 1066, y - 20, name, size=15, weight="bold", zorder=5)
        words(ax, 1066, y + 8, symbol, size=14, zorder=5)
        words(ax, 1066, y + 31, kind, size=11, zorder=5)
        arrow(ax, (1184, y), (1216, y))
        _matrix(ax, _colours(target), 1228, y - 52, sheets=2 if name == "SpRel" else 0)
        words(ax, 1362, y - 28, shape, size=15, ha="left")
        words(ax, 1362, y + 2, question, size=14, ha="left")
        words(ax, 1362, y + 30, f"loss: eq. {loss}", size=11, ha="left", color=SOFT)
    words(ax, 1280, ends[1] + 72, "what each head should say, here for $N = 16$", size=11, color=SOFT)


def _colours(target: Tensor) -> np.ndarray:
    """What a head should say, as a picture: (N, N, 3). A position is the place of the 1 among N logits."""
    if target.dim() == 1:
        return matplotlib.colormaps[HEAT](torch.nn.functional.one_hot(target).numpy().astype(float))[..., :3]
    if target.is_floating_point():
        return matplotlib.colormaps[HEAT]((target.numpy() + 1) / 2)[..., :3]
    return np.array([to_rgb(colour) for colour in RELATION_COLOURS])[target.numpy()]


def _matrix(ax: Axes, colours: np.ndarray, x: float, y: float, sheets: int) -> None:
    """An N x N picture with sharp cells. sheets: so many more behind it, for K outputs."""
    for k in range(sheets, 0, -1):
        box(ax, x + 7 * k, y - 7 * k, 104, 104, fill="#E4E4E4", edge=FAINT, thick=1, round_by=0.1)
    cell = 6  # pixels, so that files that scale stay sharp
    box(ax, x - 1, y - 1, 106, 106, edge="white", thick=1, round_by=0.1)
    picture(ax, colours.repeat(cell, axis=0).repeat(cell, axis=1), x, y, 104, zorder=4)
