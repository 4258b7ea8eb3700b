"""Table 1: what every backbone has, and what its entry says without building it, its sizes among it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from relvit_lab.common.errors import RelvitError


class KnownWeights:
    """Of a module: its weights under the names that their users know."""

    state_dict: Any

    def timm_state_dict(self) -> dict[str, Tensor]:
        """A copy of the weights, under timm's names where timm has such a model:
        create_model(name, num_classes=0, img_size=..., patch_size=...) loads it with strict=True, and gives the same
        feature. Without positional embedding the dict of a ViT holds one of zeros."""
        return {name: value.detach().clone() for name, value in self.state_dict().items()}


class TokenBackbone(KnownWeights, nn.Module):
    """Images (B, 3, H, W), float, normalised, to `(feature, tokens)`. For the reader and for types: a backbone has all
    this, of this class or not; those of timm's parts are of timm's classes."""

    dim: int  # D
    image_size: int  # in pixels, as the next
    patch: int
    side: int  # N = side * side
    task_side: int  # of the grid that the tasks use
    # Swin has these besides
    before_norm: Callable[[Tensor], tuple[Tensor, Tensor]]
    norm: nn.Module
    from_published: Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True)
class Backbone:
    """One entry: what a plan or a table needs to know without building anything.

    build(image_size=..., patch=..., **options) -> nn.Module. image_size, patch: Table 1's, in pixels.
    label: for tables. batch_size: section 4.1's. any_patch: whether `patch` may be chosen (where it is None:
    default_patch of the image size). is_vit: each token is a patch of the image and PE can be left out, so patches can
    be shuffled, cut as mega-patches and augmented one by one. smoke: name of the small form that preset smoke trains in
    its place. released_dropout, released_drop_path: the rates in recipe "released".
    """

    name: str
    build: Callable[..., TokenBackbone]
    image_size: int
    patch: int
    label: str
    batch_size: int = 256
    any_patch: bool = False
    is_vit: bool = True
    smoke: str | None = None
    released_dropout: float = 0.0
    released_drop_path: float = 0.1

    def sizes(self, image_size: int | None = None, patch: int | None = None) -> tuple[int, int]:
        """The image size and patch in pixels, defaults filled in. Raises RelvitError where they do not go together."""
        image_size = self.image_size if image_size is None else image_size
        if patch is None:
            patch = default_patch(image_size) if self.any_patch else self.patch
        elif patch != self.patch and not self.any_patch:
            raise RelvitError(f"{self.name} has patches of {self.patch} pixels, not {patch}: vit_nano takes any patch")
        if patch < 1 or image_size < patch or image_size % patch:
            step = max(1, patch)
            near = max(1, round(image_size / step)) * step
            fits = [p for p in range(2, image_size // 2 + 1) if image_size % p == 0]
            other = f"patches of {min(fits, key=lambda p: abs(p - patch))} (vit_nano)" if fits else "another patch"
            raise RelvitError(
                f"{self.name}: an image of {image_size} x {image_size} pixels does not divide into patches of {patch}: "
                f"take image_size {near}, or {other}"
            )
        return image_size, patch


def check_backbone(name: str, backbone: TokenBackbone, image_size: int) -> None:
    """Two empty images through a backbone of one's own. Raises RelvitError where it lacks a size, or gives anything but
    a feature (2, D) and tokens (2, N, D); what it raises itself is left as it is."""
    if not isinstance(backbone, nn.Module):
        raise RelvitError(f"backbone '{name}': its entry builds a {type(backbone).__name__}, not a torch.nn.Module")
    if lacking := [size for size in ("dim", "side") if not isinstance(getattr(backbone, size, None), int)]:
        raise RelvitError(f"backbone '{name}' lacks {' and '.join(lacking)} (D, and the side of its grid of tokens)")
    backbone.eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        given = backbone(torch.zeros(2, 3, image_size, image_size))
    backbone.train()
    parts = given if isinstance(given, tuple) else (given,)
    shapes = tuple(tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__ for part in parts)
    if shapes != (wanted := ((2, backbone.dim), (2, backbone.side**2, backbone.dim))):
        raise RelvitError(
            f"backbone '{name}': from 2 images its forward gives {' and '.join(map(str, shapes))}, not {wanted[0]} and "
            f"{wanted[1]}: the feature (B, D), and the patches' tokens (B, N, D) without CLS, N = side * side"
        )


def default_patch(image_size: int) -> int:
    """vit_nano's patch side for an image side, both in pixels: 8 -> 2, 28 -> 4, 32 -> 4, 64 -> 8, 224 -> 28.

    The divisor that gives the grid side nearest to 8, among patches of at least 2 x 2 pixels and grids of at least
    2 x 2 patches; the larger patch (the cheaper model) of two equally near. Raises RelvitError where there is none.
    """
    fits = [patch for patch in range(2, image_size // 2 + 1) if image_size % patch == 0]
    if not fits:
        near = max(8, round(image_size / 8) * 8)
        raise RelvitError(f"an image side of {image_size} pixels divides into no patches: take image_size {near}")
    return min(fits, key=lambda patch: (abs(image_size // patch - 8), -patch))
