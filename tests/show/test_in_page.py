"""The transformer in JavaScript beside torch, run by node; and what a page refuses to carry."""

import json
import shutil
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import relvit_lab
from relvit_lab.common.errors import RelvitError
from relvit_lab.method.attention import attention_maps
from relvit_lab.method.backbones.vit import ViT
from relvit_lab.method.model import RelViT
from relvit_lab.method.patches import permute
from relvit_lab.method.tasks import DRLOC, RELVIT
from relvit_lab.show.in_page.pack import FOLDER, carried, packed
from relvit_lab.train import assets

NEAR = 1e-5  # of the largest value; weights are float16 on both sides
RUN = """
import { readFileSync } from "node:fs";
const source = (name) => readFileSync(`${process.argv[1]}/${name}`, "utf8");
const names = ["transformer.js", ...process.argv.slice(2), "deep_grey.js", "pixels.js"];
const module = new Blob(names.map(source));
const { forward, readModel, permuted, normalised, quicker } = await import(
  "data:text/javascript;base64," + Buffer.from(await module.arrayBuffer()).toString("base64"));
const { cases, order } = JSON.parse(readFileSync(0, "utf8"));
const flat = (value) => value === null ? null : value.data ? Array.from(value.data)
  : Array.isArray(value) ? value.flatMap(flat)
  : Object.fromEntries(Object.entries(value).map(([name, inside]) => [name, flat(inside)]));
console.log(JSON.stringify([quicker !== null, ...cases.map(({ about, image }) => {
  const planes = Float32Array.from(image), model = readModel(about);
  return { ...flat(forward(model, planes)), shuffled: Array.from(permuted(planes, order[about.side])),
    normalised: Array.from(normalised(planes, about.mean, about.std)) };
})]));
"""


def small(pos_embed: bool, factored: bool, classes: int | None):
    """3 x 3 patches of 4 pixels, D not a multiple of four, weights as float16 has them."""
    torch.manual_seed(2)
    model = RelViT(ViT(12, 4, dim=18, depth=2, heads=3, pos_embed=pos_embed), (*RELVIT, DRLOC), classes, factored)
    with torch.no_grad():
        for value in model.parameters():  # norms and biases too, which start at 1 and 0
            value.add_(0.1 * torch.randn_like(value)).copy_(value.half())
    return replace(relvit_lab.load("digits_tasks"), model=model.eval())


@pytest.fixture(scope="module")
def models() -> dict:
    return {name: relvit_lab.load(name) for name in assets.names()} | {
        "places told, factored heads, a classifier": small(True, True, 5),
        "full heads alone": small(False, False, None),
    }


@pytest.fixture(scope="module")
def images(models) -> dict[str, torch.Tensor]:
    draws = torch.Generator().manual_seed(0)
    sizes = {name: one.model.backbone.image_size for name, one in models.items()}
    return {name: torch.randn(1, 3, size, size, generator=draws) for name, size in sizes.items()}


ORDER = {side: torch.randperm(side**2, generator=torch.Generator().manual_seed(1)) for side in (3, 4, 8)}


@pytest.fixture(scope="module", params=["plain loops", "four numbers at a time"])
def computed(request, models, images) -> dict[str, dict]:
    """What JavaScript makes of them, in one process: by transformer.js alone, and with quick_product.js."""
    if (node := shutil.which("node")) is None:
        pytest.skip("no node found: tests/browser/test_try.py computes the same in Chromium")
    cases = [{"about": packed(one), "image": images[name].flatten().tolist()} for name, one in models.items()]
    given = json.dumps({"cases": cases, "order": {side: order.tolist() for side, order in ORDER.items()}})
    quick = ["quick_product.js"] if request.param != "plain loops" else []
    command = [node, "--input-type=module", "-e", RUN, str(FOLDER), *quick]
    done = subprocess.run(command, input=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    taken, *told = json.loads(done.stdout)
    assert taken == bool(quick)
    return dict(zip(models, told))


def assert_near(ours, theirs: torch.Tensor, near: float = NEAR) -> None:
    theirs = theirs.double().flatten().numpy()
    assert len(ours) == len(theirs)
    assert np.abs(np.array(ours) - theirs).max() <= near * np.abs(theirs).max()


@torch.no_grad()
def test_tokens_attention_and_scores_are_torchs(models, images, computed):
    for name, one in models.items():
        model, image, ours = one.model.double(), images[name].double(), computed[name]
        feature, tokens = model.backbone(image)
        assert_near(ours["feature"], feature)
        assert_near(ours["tokens"], tokens)
        maps = attention_maps(model.backbone, image)  # L of (1,h,T,T)
        assert_near(ours["attention"], torch.stack(maps))
        assert ours["scores"].keys() == model.heads.keys() - {"drloc"}
        for task, scores in ours["scores"].items():
            assert_near(scores, model.heads[task](tokens))
        if model.classifier is None:
            assert ours["logits"] is None
        else:
            assert_near(ours["logits"], model.classifier(feature))
        model.float()


def test_shuffled_and_normalised_as_here(models, images, computed):
    for name, one in models.items():
        order = ORDER[one.model.side]
        assert_near(computed[name]["shuffled"], permute(images[name], order), near=0)
        assert_near(computed[name]["normalised"], one.pipeline.normalise(images[name]), near=1e-6)


def test_an_explorer_takes_models_along_only_where_a_page_can_answer_all(models):
    digits = models["digits_tasks"]
    assert [one["side"] for one in carried([digits], [["sprel", "abspos"]])["models"]] == [4]
    assert carried([], []) == {"models": []}
    assert carried([digits], [["sprel", "drloc"]]) == {}
    mega_patches = replace(digits, pipeline=replace(digits.pipeline, mega_patches=3))
    assert carried([digits, mega_patches], [["sprel"], ["sprel"]]) == {}


def test_what_a_page_cannot_compute_is_refused(models):
    digits = models["digits_tasks"]
    with pytest.raises(RelvitError, match=r"a page computes ViTs \(vit_\*\), not Linear"):
        packed(replace(digits, model=SimpleNamespace(backbone=nn.Linear(1, 1))))
    with pytest.raises(RelvitError, match="not mega-patches"):
        packed(replace(digits, pipeline=replace(digits.pipeline, mega_patches=3)))
    with pytest.raises(RelvitError, match="up to 16 x 16 patches, not 17 x 17"):
        packed(replace(digits, model=RelViT(ViT(17, 1, dim=6, depth=1, heads=1))))
    huge = small(False, False, None)
    with torch.no_grad():
        huge.model.heads["dist"].w.weight[0, 0] = 1e6
    with pytest.raises(RelvitError, match=r"not finite in float16: heads\.dist\.w\.weight"):
        packed(huge)
    assert len((FOLDER / "transformer.js").read_text().splitlines()) < 250
