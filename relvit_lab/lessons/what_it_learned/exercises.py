"""Exercises of notebook 09_what_it_learned."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relvit_lab.lessons.ask.answers import number, numbers
from relvit_lab.lessons.ask.difference import Difference
from relvit_lab.lessons.ask.tables import compared
from relvit_lab.lessons.what_it_learned import measures
from relvit_lab.method.heads import PairScores
from relvit_lab.method.relations import spatial_relations


def _tokens(seed: int, images: int, places: int) -> Tensor:
    """Tokens (n, N, 8) that depend on image and place, of very different lengths."""
    draws = torch.Generator().manual_seed(seed)
    z, of_place, of_image, length = (
        torch.randn(*shape, generator=draws)
        for shape in ((images, places, 8), (places, 8), (images, 1, 8), (images, places, 1))
    )
    return (z + of_place + of_image + 0.5) * length.exp()


# -- 09-nearest: the most similar tokens of other images -----------------------------------------------------------


def _cosines(tokens: Tensor, asked: Tensor) -> Tensor:
    return F.normalize(tokens, dim=-1) @ F.normalize(asked, dim=-1)  # (n,N,D) (D,) -> (n,N)


def _ranked(scores: Callable, leave_out: Callable, largest: bool = True) -> Callable:
    def answer(tokens: Tensor, image: int, place: int, k: int) -> Tensor:
        alike = scores(tokens, tokens[image, place])  # (n,N)
        for index in leave_out(image, place):
            alike[index] = -torch.inf if largest else torch.inf
        return alike.flatten().topk(k, largest=largest).indices

    return answer


def _image(image: int, place: int) -> tuple:
    return (image,)


nearest_tokens = _ranked(_cosines, _image)

compared(
    "09-nearest", "nearest patches", 1, 8,
    asks="nearest_tokens(tokens, image, place, k)",
    on=[(_tokens(seed, 6, 4), image, place, 5) for seed, image, place in ((0, 2, 1), (1, 5, 3), (2, 0, 0))],
    reference=nearest_tokens,
    wrong={
        "the image itself is among them: its tokens are alike because they come from one picture. Leave it out":
            _ranked(_cosines, lambda image, place: ()),
        "only the token itself is left out; leave out its whole image":
            _ranked(_cosines, lambda image, place: ((image, place),)),
        "the place is left out in all images; leave out one image at all places":
            _ranked(_cosines, lambda image, place: ((slice(None), place),)),
        "long tokens win: a cosine is the product of *unit* vectors, so divide each token by its length":
            _ranked(lambda z, asked: z @ asked, _image),
        "that is the smallest distance; the cosine asks for the direction alone":
            _ranked(lambda z, asked: (z - asked).norm(dim=-1), _image, largest=False),
        "these are the least alike: take the largest cosines": _ranked(_cosines, _image, largest=False),
        "the order is reversed: the nearest first": lambda *a: nearest_tokens(*a).flip(0),
        "(k, 2) pairs of image and place; asked is one number for each, image * N + place":
            lambda z, *a: torch.stack([nearest_tokens(z, *a) // z.shape[1], nearest_tokens(z, *a) % z.shape[1]], 1),
    },
    praise="By direction alone, and never from the same picture.",
)  # fmt: skip


# -- 09-place: the share of the variance that goes with the place --------------------------------------------------


def share_of_place(tokens: Tensor) -> float:
    return measures.shares(tokens).place


def _ratio(part: Callable[[Tensor], Tensor], whole: Callable[[Tensor], Tensor]) -> Callable:
    return lambda tokens: 100 * (part(tokens) / whole(tokens)).item()


compared(
    "09-place", "what goes with the place", 2, 12,
    asks="share_of_place(tokens)",
    on=[_tokens(3, 12, 4), _tokens(4, 5, 9), _tokens(5, 40, 4)],
    reads=number,
    tell=lambda d: f"{d.shown} should be {d.right:.2f} %, and is {d.got:.2f}",
    reference=share_of_place,
    wrong={
        "that is the share of the image: its mean runs over places. The mean of a place runs over images (axis 0)":
            lambda z: share_of_place(z.transpose(0, 1)),
        "nothing is subtracted: a variance is about the mean of all tokens":
            _ratio(lambda z: z.mean(0).square().sum(1).mean(), lambda z: z.square().sum(2).mean()),
        "a share; asked is %": lambda z: share_of_place(z) / 100,
        "that is what the place leaves over: 100 less it": lambda z: 100 - share_of_place(z),
        "a ratio of standard deviations: it is variances that add up": lambda z: 10 * share_of_place(z) ** 0.5,
        "the shares of the D numbers are averaged: add up the squares over D first, then divide once":
            lambda z: 100 * (z.mean(0).var(0, correction=0) / z.var((0, 1), correction=0)).mean().item(),
        "var() divides by one less than there are: the two means are over other numbers, so correction=0":
            _ratio(lambda z: z.mean(0).var(0).sum(), lambda z: z.var((0, 1)).sum()),
    },
    praise="Between 0 (places do not differ) and 100 (a token says where it is, and nothing else).",
)  # fmt: skip


# -- 09-lens: the answer layer by layer ----------------------------------------------------------------------------


def _backbone(seed: int, side: int) -> tuple[list[Tensor], nn.Module, nn.Module, Tensor]:
    """Layers, norm, head and target of a made-up model; its layers grow, and lie off the origin, as trained ones do."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [3**k * torch.randn(12, 1 + side**2, 12) + 2 for k in range(3)]
        norm, head = nn.LayerNorm(12), PairScores(12, 9)
        nn.init.normal_(norm.weight, 1.0, 0.5)
        nn.init.normal_(norm.bias, 0.0, 0.5)
    return layers, norm.requires_grad_(False), head.requires_grad_(False), spatial_relations(side)


def _read(answers: Callable[[Tensor], Tensor], normed: bool = True, patches: Callable = lambda z: z[:, 1:]) -> Callable:
    """Another reading of the layers. answers: scores (B, 9, N, N) to what is said of each pair, (B, N, N)."""

    def answer(layers: list[Tensor], norm: nn.Module, head: nn.Module, target: Tensor) -> list[float]:
        scores = (head(norm(patches(z)) if normed else patches(z)) for z in layers)
        return [100 * (answers(each) == target).float().mean().item() for each in scores]

    return answer


def _said(scores: Tensor) -> Tensor:
    return scores.argmax(1)


def _sure(layers: list[Tensor], norm: nn.Module, head: nn.Module, target: Tensor) -> list[float]:
    shares = (head(norm(z[:, 1:])).softmax(1) for z in layers)
    return [100 * each.gather(1, target.expand(len(each), 1, -1, -1)).mean().item() for each in shares]


def _layers_differ(d: Difference) -> str:
    if len(d.got) != len(d.right):
        return f"{d.shown} should give {len(d.right)} numbers, one for each layer, got {len(d.got)}"
    (k,) = d.place
    return f"{d.shown} should be {d.right[k]:.2f} % for layers[{k}], and is {d.got[k]:.2f}"


compared(
    "09-lens", "the answer layer by layer", 2, 12,
    asks="answer_by_layer(layers, norm, head, target)",
    on=[_backbone(0, 3), _backbone(1, 2)],
    reads=numbers, rtol=1e-4, atol=1e-3, tell=_layers_differ,
    reference=measures.lens,
    wrong={
        "the head was trained behind the norm: hand it norm(z), not z": _read(_said, normed=False),
        "that is the last layer alone: one number for each entry of `layers`":
            lambda layers, *a: measures.lens(layers[-1:], *a),
        "the layer before the first block is missing": lambda layers, *a: measures.lens(layers[1:], *a),
        "the first token is CLS: patches are z[:, 1:]": _read(_said, patches=lambda z: z[:, :-1]),
        "j and i are exchanged: said[b, i, j] goes with target[i, j]": _read(lambda scores: _said(scores).mT),
        "that is the smallest of the nine scores; the answer is the largest": _read(lambda scores: scores.argmin(1)),
        "these are shares; asked is %": lambda *a: [value / 100 for value in measures.lens(*a)],
        "that is how sure it is of the right answer; count where the largest score is the right one": _sure,
    },
    praise="The same head, asked at every layer.",
)  # fmt: skip
