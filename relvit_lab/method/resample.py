"""Crop and resize as two small matrices per image: what §3.2.1 and §4.1 do to images, mega-patches and patches.

Bilinear resizing is linear along each axis, so crop + resize of image b is wy[b] @ image @ wx[b].T, and a batch in
which every image has its own window is two batched matrix products. The numbers are torchvision's.
"""

import torch
from torch import Tensor

from relvit_lab.common.errors import RelvitError


def axis_weights(start: Tensor, length: Tensor, out: int, size: int, antialias: bool = True) -> Tensor:
    """How each output pixel along one axis mixes the input pixels, for crop [start, start + length) -> `out` pixels.

    start, length: (...) integers, broadcast together, in pixels; windows lie within 0..size.
    Returns (..., out, size) float32, rows that sum to 1: equal to torchvision's crop, then resize (bilinear; antialias
    widens the mixing where it shrinks) of a float image. Raises RelvitError for out < 1 or size < 1.
    """
    if out < 1 or size < 1:
        raise RelvitError(f"cannot resize {size} pixels to {out}: both need to be at least 1")
    start, length = torch.broadcast_tensors(start, length)
    start = start[..., None, None].float()  # (...) -> (...,1,1)
    length = length[..., None, None].float()
    scale = length / out  # input pixels per output pixel
    o = torch.arange(out, device=start.device)[:, None]  # (out,1)
    j = torch.arange(size, device=start.device) - start  # (...,1,size): 0 is the window's first pixel
    centre = (o + 0.5) * scale  # (...,out,1): an output pixel's centre, where pixel j reaches from j to j + 1
    if antialias:
        weights = (1 - ((j + 0.5 - centre) / scale.clamp(min=1)).abs()).clamp(min=0)  # a tent at least 1 wide each way
        weights = weights * ((j >= 0) & (j < length))
        return weights / weights.sum(-1, keepdim=True)
    at = torch.minimum((centre - 0.5).clamp(min=0), length - 1)  # between pixel centres, held at the border ones
    return (1 - (j - at).abs()).clamp(min=0)


def resample(images: Tensor, wy: Tensor, wx: Tensor) -> Tensor:
    """Apply the weights of both axes: wy @ image @ wx.T for each image and channel.

    images: (..., C, H, W) float; wy: (..., h, H) and wx: (..., w, W) of axis_weights, one per image.
    Returns (..., C, h, w), of the images' dtype.
    """
    c, h = images.shape[-3:-1]
    wy, wx = wy.to(images.dtype), wx.to(images.dtype)
    # Under autocast a matrix product would round the pixels to 8 bits or fewer.
    with torch.autocast(images.device.type, enabled=False):
        images = images.flatten(-3, -2) @ wx.mT  # (...,C*H,W) (...,W,w) -> (...,C*H,w)
        return wy[..., None, :, :] @ images.unflatten(-2, (c, h))  # (...,1,h,H) (...,C,H,w) -> (...,C,h,w)
