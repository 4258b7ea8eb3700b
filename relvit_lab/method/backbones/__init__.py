"""Section 4.1, Table 1: the backbones, by name, behind one interface.

A backbone takes images (B, 3, H, W), float, normalised, and gives `(feature, tokens)` after its last norm: what a
classifier reads, (B, D), and its patch tokens, (B, N, D), row by row. It has the attributes dim (D), image_size, patch,
side (N = side * side), task_side (the side of the grid that the tasks use: T2T's 14 x 14 are averaged to 7 x 7).

A further backbone is one file and one entry. The file defines a TokenBackbone that does the above, takes image_size,
patch, dropout and drop_path (and pos_embed, if its entry says is_vit), and, if it has parameters of two dimensions and
more that weight decay is to spare, has `no_weight_decay()` that names them; see t2t.py. The entry is a `Backbone(...)`
in BACKBONES below, or from a notebook `BACKBONES.add(Backbone(...))`. A VisionTransformer of timm needs neither:
`timm:vit_tiny_patch16_224` is a name.
"""

from collections.abc import Mapping
from functools import partial
from importlib import import_module
from pathlib import Path

from torch import Tensor, nn

from relvit_lab.common.errors import RelvitError
from relvit_lab.common.registry import Registry
from relvit_lab.common.weights_file import read_weights
from relvit_lab.method.backbones.base import Backbone, TokenBackbone, default_patch
from relvit_lab.method.backbones.weights import backbone_weights, resized_pos_embed


def _late(file: str, kind: str, **options) -> TokenBackbone:
    """Imported when it is built: timm and torchvision take seconds."""
    return getattr(import_module(f"relvit_lab.method.backbones.{file}"), kind)(**options)


_vit_s = partial(_late, "vit", "ViT", dim=384, depth=12, heads=6)
_vit_nano = partial(_late, "vit", "ViT", dim=96, depth=4, heads=3)
_swin = partial(_late, "swin", "Swin")
_swin_nano = partial(_swin, width=16, depths=(2, 2, 2, 2), heads=(1, 2, 4, 8))
_t2t = partial(_late, "t2t", "T2T")
_t2t_nano = partial(_t2t, dim=64, depth=2, heads=2, token_dim=16)
_other = partial(Backbone, image_size=224, batch_size=64, is_vit=False)
_t2t_entry = partial(_other, patch=16, released_dropout=0.1, released_drop_path=0.0)  # the code's rate never reaches it

__all__ = [
    "BACKBONES", "Backbone", "TokenBackbone", "create_backbone", "default_patch", "get", "load_weights",
    "of_another_size",
]  # fmt: skip

BACKBONES: Registry[Backbone] = Registry(
    "backbone",
    (
        Backbone("vit_s_4", _vit_s, image_size=32, patch=4, label="ViT-S/4"),
        Backbone("vit_s_8", _vit_s, image_size=64, patch=8, label="ViT-S/8"),
        Backbone("vit_s_32", _vit_s, image_size=224, patch=32, label="ViT-S/32"),
        Backbone("vit_s_16", _vit_s, image_size=224, patch=16, label="ViT-S/16"),
        Backbone("vit_s_14", _vit_s, image_size=224, patch=14, label="ViT-S/14"),
        Backbone("vit_nano", _vit_nano, image_size=32, patch=4, label="ViT-nano", any_patch=True),
        _other("swin_t", _swin, patch=32, label="Swin-T", smoke="swin_nano"),
        _other("swin_nano", _swin_nano, patch=32, label="Swin-nano"),
        _t2t_entry("t2t_vit_14", _t2t, label="T2T-ViT-14", smoke="t2t_nano"),
        _t2t_entry("t2t_nano", _t2t_nano, label="T2T-nano"),
    ),
    {"vit": "vit_s_4", "vit_s": "vit_s_4", "vit_small": "vit_s_4", "vit_tiny": "vit_nano", "t2t": "t2t_vit_14",
     "t2t_vit": "t2t_vit_14", "swin": "swin_t"},
)  # fmt: skip
BUILT_IN = tuple(BACKBONES)
"""Those of the package; a VisionTransformer of timm is none of them."""


def get(name: str) -> Backbone:
    """The entry of a name: one of BACKBONES.names(), or `timm:` and the name of a vision transformer of timm's.

    Raises RelvitError, naming the nearest, where there is none.
    """
    if name.startswith("timm:"):
        from relvit_lab.method.backbones import timm_vit

        return timm_vit.entry(name.removeprefix("timm:"))
    try:
        return BACKBONES.get(name)
    except RelvitError as error:
        from relvit_lab.method.backbones import timm_vit

        bare = name.rpartition("/")[2]  # timm/vit_tiny_patch16_224, as on its hub
        if timm_vit.knows(bare):
            entry = timm_vit.entry(bare)  # raises where it cannot be used, with the reason
            raise RelvitError(f"'{name}' is a model of timm: did you mean '{entry.name}'?") from None
        raise RelvitError(f"{error}, or timm:NAME for a vision transformer of timm") from None


def create_backbone(
    name: str,
    *,
    image_size: int | None = None,
    patch: int | None = None,
    checkpoint: str | Path | None = None,
    **options,
) -> TokenBackbone:
    """Build a backbone without classification head, with fresh weights or those of a file.

    name: as `get` takes it. image_size: the side of its (square) images, None for Table 1's. patch: vit_nano only, None
    for default_patch(image_size). checkpoint: a file of weights (see read_weights), a classifier's among them left out.
    options: pos_embed=True, dropout=0.0, drop_path=0.0 (see ViT, Swin, T2T). Raises RelvitError for an unknown name,
    naming the nearest, for sizes that do not go together, for pos_embed=False where it cannot be, and for a checkpoint
    that cannot be read or is another backbone's.
    """
    entry = get(name)
    image_size, patch = entry.sizes(image_size, patch)
    if not entry.is_vit and not options.pop("pos_embed", True):
        raise RelvitError(f"{name} always knows where its patches lie: leave pos_embed out, or take a ViT")
    backbone = entry.build(image_size=image_size, patch=patch, **options)
    if checkpoint is not None:
        weights = backbone_weights(read_weights(checkpoint))
        try:
            load_weights(backbone, weights)
        except RelvitError as error:
            raise RelvitError(f"checkpoint {checkpoint} does not go into {name}: {error}") from None
    return backbone


def load_weights(backbone: TokenBackbone, state_dict: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Section 4.2: give a backbone every weight of another, CLS token included, as fine-tuning does.

    The positional embedding ("pos_embed") is inherited where state_dict has one (of another image size: resampled, as
    timm does), stays fresh where it has none, and is dropped where this backbone has none. Returns the names left
    fresh: ("pos_embed",) or (). Swin's published names are taken as well as timm's.
    Raises RelvitError, and changes nothing, where anything else is missing, left over or of another shape.
    """
    if hasattr(backbone, "from_published"):
        state_dict = backbone.from_published(state_dict)
    own = backbone.state_dict()
    given = {name: value for name, value in state_dict.items() if name in own or name != "pos_embed"}
    fresh = tuple(name for name in own if name == "pos_embed" and name not in given)
    if of_another_size(backbone, given):
        resized = resized_pos_embed(given["pos_embed"], backbone.side, own["pos_embed"].shape[1])
        given |= {} if resized is None else {"pos_embed": resized}
    faults = [f"{name} is missing" for name in own if name not in given and name not in fresh]
    faults += [f"{name} is not in this backbone" for name in given if name not in own]
    faults += [
        f"{name} has the shape {tuple(value.shape)}, not {tuple(own[name].shape)}"
        for name, value in given.items()
        if name in own and value.shape != own[name].shape
    ]
    if faults:
        more = f" (and {len(faults) - 3} more)" if len(faults) > 3 else ""
        raise RelvitError(f"these weights are of another backbone: {'; '.join(faults[:3])}{more}")
    backbone.load_state_dict(given, strict=not fresh)
    return fresh


def of_another_size(backbone: nn.Module, state_dict: Mapping[str, Tensor]) -> bool:
    """Whether these weights have positional embeddings of as many dimensions as this backbone's, for another grid."""
    own, given = backbone.state_dict().get("pos_embed"), state_dict.get("pos_embed")
    if own is None or given is None or own.ndim != 3 or given.ndim != 3:
        return False
    return own.shape[1] != given.shape[1] and own.shape[2] == given.shape[2]
