"""Sections 3 and 3.2.1: an image as N = side * side patches of P x P pixels, their permutations, and mega-patches.

Patch i lies at row i // side and column i % side. B images, C channels, N patches, P pixels a side.
"""

import math

import torch
from torch import Tensor

from relvit_lab.common.compute.host import to_device
from relvit_lab.common.errors import RelvitError
from relvit_lab.common.values import is_whole
from relvit_lab.method.resample import axis_weights, resample


def patchify(images: Tensor, patch: int) -> Tensor:
    """Images (B, C, H, W) to patches (B, N, C, P, P), row by row, of the same dtype. P = patch.

    Raises RelvitError where the image is not square or its side is not a multiple of the patch.
    """
    b, c = images.shape[:2]
    side = grid_side(images, patch)
    patches = images.reshape(b, c, side, patch, side, patch)  # (B,C,H,W) -> (B,C,rows,P,columns,P)
    return patches.permute(0, 2, 4, 1, 3, 5).reshape(b, side * side, c, patch, patch)  # -> (B,N,C,P,P)


def unpatchify(patches: Tensor) -> Tensor:
    """The inverse of patchify: (B, N, C, P, P) to (B, C, side * P, side * P). Raises RelvitError for N not a square."""
    if patches.dim() != 5 or patches.shape[-1] != patches.shape[-2]:
        raise RelvitError(f"patches have the shape (B, N, C, P, P), not {tuple(patches.shape)}")
    b, n, c, patch, _ = patches.shape
    side = math.isqrt(n)
    if side * side != n:
        raise RelvitError(f"{n} patches do not fill a square grid: N is a square such as {max(1, side) ** 2}")
    patches = patches.reshape(b, side, side, c, patch, patch)  # (B,N,C,P,P) -> (B,rows,columns,C,P,P)
    return patches.permute(0, 3, 1, 4, 2, 5).reshape(b, c, side * patch, side * patch)  # -> (B,C,H,W)


def grid_side(images: Tensor, patch: int) -> int:
    """Patches a side of images (B, C, H, W). Raises RelvitError where they do not divide into a square grid."""
    if images.dim() != 4:
        raise RelvitError(f"images have the shape (B, C, H, W), not {tuple(images.shape)}")
    height, width = images.shape[-2:]
    if height != width:
        raise RelvitError(f"images are square here; these are {height} x {width}: crop or resize them first")
    if not is_whole(patch) or patch < 1 or height % patch:
        fitting = [p for p in range(1, height + 1) if height % p == 0]
        near = min(fitting, key=lambda p: abs(p - patch))
        raise RelvitError(f"images of {height} x {height} pixels do not divide into patches of {patch}: try {near}")
    return height // patch


def draw_permutations(
    batch: int, n: int, generator: torch.Generator | None = None, device: torch.device | str = "cpu"
) -> Tensor:
    """A permutation of n tokens for each of `batch` images: (B, N) int64, all orders equally likely.

    Drawn on the generator's device (the CPU where None), returned on `device`.
    """
    drawn_on = "cpu" if generator is None else generator.device
    keys = torch.rand(batch, n, generator=generator, device=drawn_on)
    return to_device(keys.argsort(dim=1), device)  # sorting random keys: every order alike, each row its own


def permute(images_or_patches: Tensor, p: Tensor) -> Tensor:
    """Shuffle patches: token t of the result holds patch p[t].

    images_or_patches: patches (B, N, C, P, P), or images (B, C, H, W), whose patch side follows from N.
    p: (N,), the same for all, or (B, N), int64, a permutation each, on any device.
    Returns the input's shape and dtype. Raises RelvitError where the numbers of patches or images differ,
    and where p is no permutation.
    """
    if images_or_patches.dim() == 4:
        height, side = images_or_patches.shape[-2], math.isqrt(p.shape[-1])
        if side == 0 or side * side != p.shape[-1] or height % side:
            raise RelvitError(
                f"a permutation of {p.shape[-1]} patches does not fit images of {height} x {height} pixels: "
                "N is the square of a number that divides the side"
            )
        return unpatchify(permute(patchify(images_or_patches, height // side), p))
    b, n = images_or_patches.shape[:2]
    if p.shape not in ((n,), (b, n)):
        raise RelvitError(f"{b} images of {n} patches need p of shape ({n},) or ({b}, {n}), not {tuple(p.shape)}")
    if (p.sort().values != torch.arange(n, device=p.device)).any():
        raise RelvitError(f"p is no permutation of {n} patches: each of 0 to {n - 1} stands in it once")
    return reordered(images_or_patches, p)


def reordered(patches: Tensor, p: Tensor) -> Tensor:
    """`permute` of patches by a p that was drawn here: it is not looked at, which would wait for a GPU."""
    b, n = patches.shape[:2]
    p = to_device(p, patches.device)
    rows = p + n * torch.arange(b, device=p.device)[:, None]  # (B,N): where each is among all B * N patches
    return patches.flatten(0, 1).index_select(0, rows.flatten()).view_as(patches)


def draw_cuts(
    batch: int, m: int, side: int, generator: torch.Generator | None = None, shared_cuts: bool = False
) -> Tensor:
    """Section 3.2.1: for each image and axis M - 1 of the side - 1 places between patches, every set equally likely.

    Returns (B, 2, M - 1) int64 in patches, sorted, distinct, in 1..side - 1; [:, 0] cuts the rows, [:, 1] the columns,
    independently, or alike with shared_cuts. Raises RelvitError for m outside 1..side.
    """
    if not is_whole(m) or not 1 <= m <= side:
        raise RelvitError(f"{m} x {m} mega-patches do not fit: M is at most image side / P = {side}, and at least 1")
    drawn_on = "cpu" if generator is None else generator.device
    keys = torch.rand(batch, 1 if shared_cuts else 2, side - 1, generator=generator, device=drawn_on)
    cuts = (
        keys.argsort(dim=-1)[..., : m - 1].sort(dim=-1).values + 1
    )  # the first M - 1 of a random order: a uniform set
    return cuts.expand(batch, 2, m - 1)


def mega_patches(
    images: Tensor,
    m: int,
    patch: int,
    generator: torch.Generator | None = None,
    cuts: Tensor | None = None,
    antialias: bool = True,
    shared_cuts: bool = False,
) -> tuple[Tensor, Tensor]:
    """Section 3.2.1: cut each image into M x M rectangles of whole patches, and resize each to P x P.

    images: (B, C, H, W) float, or uint8, which becomes float in [0, 1]. m: M, mega-patches a side. patch: P.
    cuts: (B, 2, M - 1) int64 as draw_cuts returns them, or (2, M - 1) for all images; drawn where None.
    antialias: as in torchvision's resize (bilinear); the released code has none. shared_cuts: one set of cuts for both
    axes, the released code's slip.
    Returns images (B, C, M * P, M * P), mega-patch i of which is patch i, and the cuts used, (B, 2, M - 1).
    Raises RelvitError for M > H / P, for sides that P does not divide, and for cuts out of order or range.
    """
    b, side = len(images), grid_side(images, patch)
    if cuts is None:
        cuts = to_device(draw_cuts(b, m, side, generator, shared_cuts), images.device)
    else:
        cuts = to_device(_checked_cuts(cuts, b, m, side), images.device)
    if images.dtype == torch.uint8:
        images = images.float() / 255
    if not images.is_floating_point():
        raise RelvitError(f"images to resize are uint8 or floats, not {images.dtype}")
    edges = torch.nn.functional.pad(cuts, (1, 0))  # (B,2,M): where each rectangle begins
    lengths = torch.nn.functional.pad(cuts, (0, 1), value=side) - edges
    # One block matrix per image and axis: rows k * P to (k + 1) * P resize rectangle k, and see no other.
    weights = axis_weights(edges * patch, lengths * patch, patch, side * patch, antialias)  # (B,2,M,P,H)
    weights = weights.flatten(2, 3)  # (B,2,M,P,H) -> (B,2,M*P,H)
    return resample(images, weights[:, 0], weights[:, 1]), cuts


def _checked_cuts(cuts: Tensor, batch: int, m: int, side: int) -> Tensor:
    """Cuts that a user gave, as (B, 2, M - 1)."""
    shape = (batch, 2, m - 1)
    if cuts.shape not in (shape, shape[1:]):
        raise RelvitError(f"cuts for {batch} images and M = {m} have the shape {shape}, not {tuple(cuts.shape)}")
    edges = torch.nn.functional.pad(cuts.cpu(), (1, 0))
    edges = torch.nn.functional.pad(edges, (0, 1), value=side)
    if (edges.diff(dim=-1) < 1).any():
        raise RelvitError(f"cuts are distinct, in rising order, and lie in 1..{side - 1} (in patches)")
    return cuts.expand(shape)
