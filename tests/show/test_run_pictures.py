"""A picture for each built-in task, whatever head and form it has."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from relvit_lab.method import tasks
from relvit_lab.method.backbones import create_backbone
from relvit_lab.method.heads import PairScores, TokenScores
from relvit_lab.method.model import RelViT
from relvit_lab.method.tasks import BUILT_IN, Task
from relvit_lab.show.run_pictures import _task_figures


def pictures(model, task, size=8):
    images = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    return _task_figures(SimpleNamespace(model=model.eval()), task, images, images, ["cat", "dog"])


@pytest.mark.parametrize("pair_head", [None, "scores", "mlp"])
@pytest.mark.parametrize("form", ["paper", "released"])
def test_each_built_in_task_has_a_picture(form, pair_head):
    its = [tasks.get(task.name, form) for task in BUILT_IN]
    model = RelViT(create_backbone("vit_nano", image_size=8, patch=2), its, pair_head=pair_head)
    for task in its:
        (figure,) = pictures(model, task)
        assert figure.png().startswith(b"\x89PNG") and len(figure.alt) > 30


@pytest.mark.parametrize(("form", "scale"), [("paper", 1 / 4), ("released", 1)])
def test_drloc_is_shown_in_patches(form, scale):
    task = tasks.get("drloc", form)
    model = RelViT(create_backbone("vit_nano", image_size=8, patch=2), [task])

    class Known(nn.Module):
        def forward(self, z):  # the truth, and half a patch more in |dx|
            said = task.target(4) + torch.tensor([0.5 * scale, 0.0])
            return said.movedim(-1, 0).expand(len(z), -1, -1, -1)

    model.heads["drloc"] = Known()
    (figure,) = pictures(model, task)
    assert figure.get_suptitle() == "DRLoc, class cat: |dx| + |dy|. Mean error of all pairs: 0.5 patches"
    true, said = (ax.images[0].get_array() for ax in figure.axes[1:3])
    assert true[1].tolist() == pytest.approx([1, 0, 1, 2]) and true[3].tolist() == pytest.approx([3, 2, 3, 4])
    assert said[1].tolist() == pytest.approx([1.5, 0.5, 1.5, 2.5])
    assert figure.axes[1].images[0].get_clim() == (0, 6)  # from corner to corner of 4 x 4


def test_pictures_are_of_the_pooled_tokens():
    backbone = create_backbone("vit_nano", image_size=8, patch=2)
    backbone.task_side = 2
    model = RelViT(backbone, BUILT_IN)
    assert all(len(pictures(model, task)) == 1 for task in BUILT_IN)


def test_a_task_of_ones_own_has_one_where_it_can_be_shown():
    def model_of(head, target, **more):
        task = Task("own", head, target=target, title="Own", **more)
        return RelViT(create_backbone("vit_nano", image_size=8, patch=2), [task]), task

    of_patches, task = model_of(lambda dim, grid: TokenScores(dim, 4), lambda grid: torch.arange(grid**2) % 4)
    (figure,) = pictures(of_patches, task)
    assert figure.get_suptitle().startswith("Own, class") and "of all patches right" in figure.alt
    of_pairs, task = model_of(lambda dim, grid: PairScores(dim, 1), lambda grid: torch.rand(grid**2, grid**2))
    (figure,) = pictures(of_pairs, task)
    assert "MSE x 100" in figure.alt
    vectors, task = model_of(
        lambda dim, grid: PairScores(dim, 2), lambda grid: torch.rand(grid**2, grid**2, 2),
        loss=lambda *given: None, metric=lambda *given: None,
    )  # fmt: skip
    assert pictures(vectors, task) == []
