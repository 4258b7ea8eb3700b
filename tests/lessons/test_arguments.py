"""What a student types into an explorer: anything but an answer with what would do is a fault."""

import inspect

import numpy as np
import pytest
import torch

from relvit_lab import explore_mega_patches, explore_relations, explore_scores, photograph, shortcut_lab
from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.patch_relations.guess import guess_relation

CALLS = (explore_relations, explore_mega_patches, explore_scores, shortcut_lab, photograph, guess_relation)
ODD = (
    -1, 0, 3.5, "x", "", True, [], {}, (1, 2), float("nan"), 10**9, np.int64(4), torch.tensor(4), object(), b"a", print,
)  # fmt: skip
PAIRS = [
    pytest.param(call, name, id=f"{call.__name__}-{name}")
    for call in CALLS
    for name, parameter in inspect.signature(call).parameters.items()
    if parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
]


@pytest.mark.parametrize("call, name", PAIRS)
def test_an_odd_argument_works_or_is_told_what_would_do(call, name):
    for odd in ODD:
        try:
            call(**{name: odd})
        except RelvitError as error:
            assert str(error) and " at 0x" not in str(error).replace(repr(odd), "")


def test_tasks_are_named_as_on_the_command_line():
    assert list(explore_relations(tasks="sprel,dist").shown.tasks) == ["sprel", "dist"]
    assert list(explore_relations(tasks=("abspos",)).shown.tasks) == ["abspos"]
