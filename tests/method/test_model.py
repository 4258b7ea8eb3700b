"""The model around a backbone: pooled tokens, heads that stand in for one another, and training them all."""

import pytest
import torch
from torch import nn

from relvit_lab.common.errors import RelvitError
from relvit_lab.method import tasks
from relvit_lab.method.backbones import create_backbone
from relvit_lab.method.heads import PairMLP, PairScores, TokenScores
from relvit_lab.method.model import RelViT, pool
from relvit_lab.method.tasks import BUILT_IN, RELVIT, TASKS, Task

DIM = 12


class Tokens(nn.Module):
    """A backbone that cuts its image into side x side tokens, without PE."""

    def __init__(self, side: int, task_side: int | None = None):
        super().__init__()
        self.dim, self.image_size, self.patch, self.side = DIM, 2 * side, 2, side
        if task_side is not None:
            self.task_side = task_side
        self.embed = nn.Conv2d(3, DIM, 2, stride=2)

    def forward(self, images):
        tokens = self.embed(images).flatten(2).mT
        return tokens.mean(1), tokens


def slow_pool(tokens, side):
    """Each pooled token, the mean of those of its 3 x 3 neighbours that exist."""
    s = (side + 1) // 2
    out = torch.empty(len(tokens), s * s, tokens.shape[-1])
    for y in range(s):
        for x in range(s):
            inside = [
                tokens[:, v * side + u]
                for v in range(2 * y - 1, 2 * y + 2) for u in range(2 * x - 1, 2 * x + 2)
                if 0 <= v < side and 0 <= u < side
            ]  # fmt: skip
            out[:, y * s + x] = torch.stack(inside).mean(0)
    return out


@pytest.mark.parametrize("side", [2, 5, 8, 14])
def test_pooling_is_the_mean_of_existing_neighbours(side):
    tokens = torch.randn(2, side * side, 5)
    torch.testing.assert_close(pool(tokens, side), slow_pool(tokens, side))


def test_tasks_see_pooled_tokens_where_the_backbone_says_so():
    backbone = Tokens(14, task_side=7)
    model, images = RelViT(backbone, BUILT_IN, classes=3), torch.randn(2, 3, 28, 28)
    feature, tokens = backbone(images)
    logits, pooled = model(images)
    assert model.side == 7 and pooled.shape == (2, 49, DIM)
    torch.testing.assert_close(pooled, slow_pool(tokens, 14))
    torch.testing.assert_close(logits, model.classifier(feature))  # the classifier's feature is not pooled
    assert model.heads["abspos"].fc.out_features == 49
    assert all(torch.equal(model.targets(task), task.target(7)) for task in BUILT_IN)
    assert model.predictions(images, "sprel").shape == (2, 49, 49)
    assert all(loss.isfinite() for loss in model.task_losses(pooled).values())
    assert all(value.isfinite() for value in model.task_metrics(pooled).values())


@pytest.mark.parametrize("task_side", [None, 4])
def test_nothing_is_pooled_otherwise(task_side):
    backbone, images = Tokens(4, task_side), torch.randn(2, 3, 8, 8)
    model = RelViT(backbone, RELVIT)
    assert model.side == 4 and torch.equal(model(images).tokens, backbone(images)[1])


def test_a_task_side_that_pooling_does_not_give():
    with pytest.raises(RelvitError, match="side 14 pools to side 7, not 5"):
        RelViT(Tokens(14, task_side=5))


# -- heads ---------------------------------------------------------------------------------------------------------


def kinds(**options):
    model = RelViT(Tokens(3), BUILT_IN, **options)
    return {name: type(head) for name, head in model.heads.items()}, model.heads


def test_each_task_has_its_own_head_by_default():
    own, heads = kinds()
    assert own == {"sprel": PairScores, "dist": PairScores, "ang": PairScores, "abspos": TokenScores, "drloc": PairMLP}
    assert heads["drloc"].outputs == 2 and heads["drloc"].hidden == 512


@pytest.mark.parametrize(("name", "kind"), [("scores", PairScores), ("mlp", PairMLP)])
def test_one_kind_of_head_for_all_pairs(name, kind):
    swapped, heads = kinds(pair_head=name)
    assert swapped == {"sprel": kind, "dist": kind, "ang": kind, "abspos": TokenScores, "drloc": kind}
    assert [heads[task].outputs for task in ("sprel", "dist", "ang", "drloc")] == [9, 1, 1, 2]


def test_factored_is_for_attention_scores():
    _, heads = kinds(factored=True, pair_head="scores")
    assert heads["drloc"].rank == DIM // 2 and heads["sprel"].rank == DIM // 9
    assert isinstance(kinds(factored=True)[1]["drloc"], PairMLP)
    assert isinstance(kinds(factored=True, pair_head="mlp")[1]["sprel"], PairMLP)


def test_a_head_of_ones_own_is_left_alone():
    class Own(nn.Module):
        def forward(self, z):
            return z @ z.mT

    task = Task("own", lambda dim, grid: Own(), target=TASKS.get("dist").target)
    assert isinstance(RelViT(Tokens(3), [task], pair_head="mlp").heads["own"], Own)


def test_an_unknown_pair_head():
    with pytest.raises(RelvitError, match="unknown pair_head 'mpl': did you mean 'mlp'"):
        RelViT(Tokens(3), RELVIT, pair_head="mpl")


# -- predictions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pair_head", [None, "scores", "mlp"])
def test_predictions_are_classes_or_values(pair_head):
    model, images = RelViT(Tokens(3), BUILT_IN, pair_head=pair_head).eval(), torch.randn(2, 3, 6, 6)
    scores = {name: head(model(images).tokens) for name, head in model.heads.items()}
    assert torch.equal(model.predictions(images, "sprel"), scores["sprel"].argmax(1))
    assert torch.equal(model.predictions(images, "abspos"), scores["abspos"].argmax(2))
    assert torch.equal(model.predictions(images, "dist"), scores["dist"][:, 0])
    assert torch.equal(model.predictions(images, "drloc"), scores["drloc"])  # (B,2,N,N), both values


def test_predictions_of_values_for_tokens():
    images = torch.randn(2, 3, 6, 6)
    one = Task("row", lambda dim, grid: TokenScores(dim, 1), target=lambda grid: torch.arange(grid**2) / grid)
    two = Task("xy", lambda dim, grid: TokenScores(dim, 2), target=lambda grid: torch.rand(grid**2, 2))
    model = RelViT(Tokens(3), [one, two])
    assert model.predictions(images, "row").shape == (2, 9)
    assert model.predictions(images, "xy").shape == (2, 9, 2) and model.predictions(images, "xy").is_floating_point()


# -- training ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["paper", "released"])
@pytest.mark.parametrize("pair_head", [None, "scores", "mlp"])
def test_all_tasks_train_under_each_head(pair_head, form):
    backbone = create_backbone("vit_nano", image_size=8, patch=2, pos_embed=False)
    model = RelViT(backbone, [tasks.get(task.name, form) for task in BUILT_IN], classes=3, pair_head=pair_head)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    images, p = torch.randn(8, 3, 8, 8), torch.stack([torch.randperm(16) for _ in range(8)])
    draws, history = torch.Generator().manual_seed(0), []
    for _ in range(12):
        losses = model.task_losses(model(images).tokens, p, draws)
        assert list(losses) == ["sprel", "dist", "ang", "abspos", "drloc"]
        assert all(loss.isfinite() for loss in losses.values())
        history.append({name: loss.item() for name, loss in losses.items()})
        optimizer.zero_grad()
        sum(losses.values()).backward()
        assert all(q.grad.isfinite().all() for q in model.parameters() if q.grad is not None)
        optimizer.step()
    assert sum(history[-1].values()) < 0.9 * sum(history[0].values())
    for name in ("sprel", "drloc"):
        assert min(step[name] for step in history[6:]) < history[0][name]
