"""transformer.js beside Python in notebook 01: each part is there, whole, and beside what it mirrors."""

import re
from html import unescape

import nbformat
import pytest
from executed import NOTEBOOKS

from relvit_lab.lessons.patch_relations.once_more import OnceMore, javascript, once_more
from relvit_lab.show.in_page.pack import FOLDER

CELLS = {"layer-norm": "layer_norm", "attention": "msa", "mlp": "mlp", "forward": "by_hand"}


@pytest.fixture(scope="module")
def shown(tmp_path_factory) -> OnceMore:
    """As the notebook shows it, from functions as its cells define them."""
    cells = {cell.id: cell.source for cell in nbformat.read(NOTEBOOKS["01_patch_relations"], 4).cells}
    assert cells["once-more"] == "once_more(by_hand, layer_norm, msa, mlp)"
    file = tmp_path_factory.mktemp("notebook") / "cells.py"
    file.write_text("".join(re.match(r"def .*?(?=\n\n\n|\Z)", cells[name], re.DOTALL)[0] + "\n" for name in CELLS))
    defined: dict = {}
    exec(compile(file.read_text(), file, "exec"), defined)
    return once_more(**{name: defined[name] for name in CELLS.values()})


def words(shown: OnceMore) -> str:
    """What the page says, line by line."""
    lines = shown._repr_html_().replace('<span style="display: block', "\n<span ")
    return unescape(re.sub(r"<[^>]+>", "", lines))


def test_every_part_of_the_model_in_javascript_is_shown_once_beside_python(shown):
    text = (FOLDER / "transformer.js").read_text()
    model = text[: text.index("\n// -- matrices")]
    defined = re.findall(r"^(?:export )?(?:function|const) (\w+)", model, re.MULTILINE)
    named = [name for section in shown.sections for name in section.javascript]
    assert sorted(named) == sorted(defined) and all(section.python for section in shown.sections)
    for name in named:
        code = javascript(name)
        assert code in text and code.startswith(("/** ", "/**\n", "const ")) and code.rstrip(";").endswith("\n}")
        assert len(re.findall(r"^\S.*\{$", code, re.MULTILINE)) == 1  # it alone, to its end


def test_the_notebook_shows_both_in_whole(shown):
    page = words(shown)
    for section in shown.sections:
        assert section.title in page and section.title in repr(shown)
        assert all(javascript(name) in page for name in section.javascript)
    for line in ("def by_hand(images, vit):", "z = mlp(layer_norm(z, block.norm2), block.mlp) + z",
                 "scores.softmax(-1) @ v", "# of PairScores", "# of TokenScores", "def patchify("):  # fmt: skip
        assert line in page
    assert "dim // attention.num_heads" in shown._repr_html_()  # no comment in Python


def test_a_function_without_a_source_is_said(shown):
    nowhere: dict = {}
    exec("def mlp(z, layers): return z", nowhere)
    mine = {section.python[0].__name__: section.python[0] for section in shown.sections}
    other = once_more(mine["by_hand"], mine["layer_norm"], mine["msa"], nowhere["mlp"])
    assert "# mlp: its source is not at hand here" in words(other)
    with pytest.raises(KeyError):
        javascript("nothing")
