"""RelViT: vision transformers trained on the relations between image patches. Learn it, teach it, reproduce it."""

import importlib
import sys

from relvit_lab.common.printing import spell_out
from relvit_lab.common.process import keep_memory

keep_memory()
spell_out(sys.stdout)  # what we show, a table of a user's own print() too, ends nothing in a terminal that is not UTF-8
spell_out(sys.stderr)

__version__ = "0.1.0"

_WHERE = {  # loaded when first used, so that `import relvit_lab` is quick
    "Experiment": "train.experiment", "Stage": "train.experiment", "run": "train.training", "load": "train.trained",
    "export_timm": "train.trained", "follow": "show.follow", "photograph": "show.photographs",
    "Task": "method.tasks", "TASKS": "method.tasks", "RelvitError": "common.errors",
    "check": "lessons.ask", "predict": "lessons.ask", "progress": "lessons.ask",
    "explore_relations": "lessons.patch_relations.explorer", "explore_mega_patches": "lessons.mega_patches.explorer",
    "explore_scores": "lessons.attention_scores.explorer", "shortcut_lab": "lessons.pe_shortcut.lab",
}  # fmt: skip
__all__ = [*_WHERE, "__version__"]


def __getattr__(name: str) -> object:
    if name in _WHERE:
        return getattr(importlib.import_module(f"relvit_lab.{_WHERE[name]}"), name)
    raise AttributeError(f"module 'relvit_lab' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_WHERE])
