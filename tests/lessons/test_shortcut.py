"""§4.3 on digits: with positional embeddings and no shuffle the model reads the answer off them."""

import pytest

from relvit_lab.train.experiment import Experiment
from relvit_lab.train.training import run


@pytest.mark.slow
@pytest.mark.parametrize("pos_embed", [True, False])
def test_the_shortcut(pos_embed):
    fields = {"preset": "demo", "tasks": "sprel", "pos_embed": pos_embed, "stop_after": "pretrain"}
    sprel = list(run(Experiment(**fields)))[-1].result["metrics"]["sprel"]
    assert sprel > 99 if pos_embed else sprel < 60
