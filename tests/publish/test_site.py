"""The site's pieces: equations, markdown, outputs, widgets, the index, digests, and what widgets carry along."""

import base64
import json
import re
from pathlib import Path

import nbformat
import pytest
from ipywidgets.embed import embed_data
from nbformat import v4

from relvit_lab.common.errors import RelvitError
from relvit_lab.lessons.attention_scores.explorer import explore_scores
from relvit_lab.lessons.attention_scores.token_slider import TokenSlider
from relvit_lab.lessons.mega_patches.explorer import explore_mega_patches
from relvit_lab.lessons.patch_relations.explorer import explore_relations
from relvit_lab.publish.site.carry import carry
from relvit_lab.publish.site.equations import mathml
from relvit_lab.publish.site.execute import book_digest, code_digest
from relvit_lab.publish.site.index import card, index_page, mark_of, time_it_takes, what_one_learns
from relvit_lab.publish.site.markdown import PageMarkdown
from relvit_lab.publish.site.page import contents_and_cells, notebook_body
from relvit_lab.publish.site.widgets import live_models, widgets_html

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


# -- equations -----------------------------------------------------------------------------------------------------


def test_every_equation_of_the_notebooks_is_converted():
    seen = 0
    for path in NOTEBOOKS:
        markdown = PageMarkdown()
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type == "markdown":
                made = markdown.to_html(cell.source)
                words = re.sub(r"<(code|pre)\b.*?</\1>", "", made, flags=re.DOTALL)
                assert "$" not in re.sub(r'data-tex="[^"]*"', "", words), cell.id
                seen += made.count("<math")
    assert seen > 100


def test_equations_are_mathml():
    assert "<msub><mi>W</mi><mi>k</mi></msub>" in mathml("W_k") and 'display="inline"' in mathml("x")
    matrix = mathml(r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", display=True)
    assert matrix.count("<mtr>") == 2 and matrix.count("<mtd>") == 4 and 'display="block"' in matrix
    assert "<mtext>mean&#x000A0;of&#x000A0;</mtext>" in mathml(r"\text{mean of } x")
    assert "<mtext>LN</mtext>" in mathml(r"\mathrm{LN}(z)")  # one name
    assert 'data-tex="a &lt; b"' in mathml("a < b")


@pytest.mark.parametrize(
    ("tex", "said"),
    [
        (r"\foo x", r"\foo is not known"),
        (r"\frac{a}", "an argument is missing"),
        (r"{a", "a { without its }"),
        (r"x}", "a } without its {"),
        (r"\begin{pmatrix} 1", "can't be converted"),
        (r"\begin{aligned} a &= b \end{aligned}", "perhaps &"),
        (r"a \\ b", "break no line"),
        (r"a_", "can't be converted"),
        ("", "can't be converted"),
    ],
)
def test_what_cannot_be_converted_is_an_error(tex, said):
    with pytest.raises(RelvitError, match=re.escape(said)):
        mathml(tex)


# -- cells ---------------------------------------------------------------------------------------------------------


def test_markdown_keeps_folds_tables_code_and_headings():
    page = PageMarkdown()
    made = page.to_html(
        "# One\n\n## Same $x$\n\n## Same $x$\n\n| a | b |\n|---|---|\n| $x$ | `y` |\n\n"
        "<details><summary>Hint</summary>\n\nTry *this*:\n\n```python\nx = 1\n```\n</details>\n\n[next](02_b.ipynb)"
    )
    assert made.count("<table>") == 1 and "<td><math" in made and "<td><code>y</code></td>" in made
    assert re.search(r"<details><summary>Hint</summary>.*<em>this</em>.*highlight.*</details>", made, re.DOTALL)
    assert '<span class="n">x</span>' in made and 'href="02_b.html"' in made
    assert [(h.level, h.name) for h in page.headings] == [(1, "one"), (2, "same-x"), (2, "same-x-2")]


def test_a_link_to_a_heading_with_an_equation_has_a_name():
    words = '## Why\n\n### $1/\\sqrt{D}$\n\n### Is $a < "b"$ *so*?'
    contents, _ = contents_and_cells(v4.new_notebook(cells=[v4.new_markdown_cell(words)]))
    names = re.findall('aria-label="(.*?)"', contents.partition("<ul>")[2])
    assert names == ["1/ sqrt D", "Is a &lt; &quot;b&quot; so?"]


def test_pictures_are_taken_along_or_refused():
    page = PageMarkdown()
    attached = {"a.png": {"image/png": base64.b64encode(PIXEL).decode()}}
    assert 'src="data:image/png;base64,' in page.to_html("![alt](attachment:a.png)", attached)
    with pytest.raises(RelvitError, match="lies outside the notebook"):
        page.to_html("![alt](https://example.org/a.png)")


def output(data: dict, **metadata: object) -> nbformat.NotebookNode:
    return v4.new_output("display_data", data=data, metadata=metadata)


def show(made: nbformat.NotebookNode, models: set[str] | tuple = ()) -> str:
    book = v4.new_notebook(cells=[v4.new_code_cell("1", outputs=[made])])
    return contents_and_cells(book, models)[1]


def test_outputs_become_html():
    assert '<pre class="text stdout">a &lt; b\n</pre>' in show(v4.new_output("stream", name="stdout", text="a < b\n"))
    assert 'class="text stderr"' in show(v4.new_output("stream", name="stderr", text="careful"))
    picture = base64.b64encode(PIXEL).decode()
    dot = show(output({"image/png": picture, "text/plain": "x"}, **{"image/png": {"alt": 'a "dot"'}}))
    assert all(said in dot for said in ("""alt='a "dot"'""", 'width="1"', 'height="1"'))
    assert 'alt="A dot."' in show(output({"image/png": picture, "text/plain": "A dot."}))
    assert 'alt=""' in show(output({"image/png": picture, "text/plain": "<Figure size 1x1>"}))
    assert "<b>x</b>" in show(output({"text/html": "<b>x</b>", "text/plain": "x"}))
    assert "<em>x</em>" in show(output({"text/markdown": "*x*"}))
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "m1"}, "text/plain": "in words <"}
    assert 'data-model="m1"><pre class="text">in words &lt;</pre>' in show(output(view), {"m1"})
    assert "needs a running notebook" in show(output(view))
    assert "<em>y</em>" in show(v4.new_output("execute_result", data={"text/html": "<em>y</em>"}))
    failed = v4.new_output("error", ename="E", evalue="x", traceback=["\x1b[31mE\x1b[0m: <x>"])
    assert 'class="text stderr"' in show(failed) and ": &lt;x&gt;" in show(failed) and "\x1b" not in show(failed)


def test_inputs_may_be_left_out_and_empty_cells_are():
    cells = [v4.new_code_cell("x = 1", id="a"), v4.new_code_cell("", id="b"), v4.new_raw_cell("r", id="c")]
    book = v4.new_notebook(cells=cells)
    assert re.findall('id="(.*?)"', contents_and_cells(book)[1]) == ["cell-a"]
    assert "<section" not in contents_and_cells(book, exclude_input=True)[1]


def widget_book() -> nbformat.NotebookNode:
    book = v4.new_notebook()
    models = {
        "w": {"state": {"_esm": "export default {}", "_css": "", "text": "</script><script>", "_view_name": "AnyView"}},
        "v": {"state": {"_esm": "export default {}", "n": 1}, "buffers": [{"path": ["n"], "data": "AA\n=="}]},
        "core": {"state": {"_view_name": "IntSliderView", "value": 3}},
    }
    book.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": models}}
    return book


def test_widgets_go_into_the_page_once_and_safely():
    models = live_models(widget_book())
    assert set(models) == {"w", "v"}
    made = widgets_html(models)
    assert made.count("</script>") == 2 and made.count("export default {}") == 1
    saved = json.loads(re.search(r'id="widget-data">(.*?)</script>', made, re.DOTALL)[1])
    assert saved["models"]["w"]["state"] == {"text": "</script><script>"}
    assert saved["models"]["v"]["buffers"] == [{"path": ["n"], "data": "AA=="}]
    assert saved["models"]["v"]["module"] == saved["models"]["w"]["module"] == 0
    assert widgets_html({}) == ""


# -- the index -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_each_notebook_says_what_the_index_shows(path):
    words = nbformat.read(path, 4).cells[0].source
    assert len(what_one_learns(words)) > 50 and "What you need" not in what_one_learns(words)
    assert re.search(r"\bminutes?\b", time_it_takes(words)) and len(time_it_takes(words)) < 150


MARKS = {"Core": ("01", "03", "05", "09"), "Optional": ("02", "06"), "Project": ("04", "07", "08")}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=[path.stem for path in NOTEBOOKS])
def test_each_notebook_says_where_on_the_path_and_on_the_map_one_stands(path):
    words = nbformat.read(path, 4).cells[0].source
    number = path.stem[:2]
    (said,) = (part for part in words.split("\n\n") if part.startswith("**Where you are.**"))
    assert number in MARKS[mark_of(words)] and "map" in said and len(said) < 250
    if mark_of(words) == "Core":
        assert " ".join(said.split()).count(", ".join(MARKS["Core"]).replace(number, f"**{number}**")) == 1


def test_the_readme_bears_the_same_marks():
    table = (NOTEBOOKS[0].parents[1] / "README.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| \[(\d\d)_[^|]*\| (\w+) \|", table, re.MULTILINE))
    assert rows == {number: mark.lower() for mark, numbers in MARKS.items() for number in numbers if number in rows}
    assert set(rows) >= {path.stem[:2] for path in NOTEBOOKS}


def test_the_index_goes_the_path_in_its_order():
    marks = {"1": "Core", "2": "Optional", "3": "Core", "4": "Project"}
    cells = {n: v4.new_markdown_cell(f"**Where you are.** {mark}, of all.") for n, mark in marks.items()}
    books = {n: v4.new_notebook(cells=[cell]) for n, cell in cells.items()}
    page = index_page([card(book, f"{n}.html" if n != "4" else "", f"{n} title") for n, book in books.items()])
    order = ("Core:", "1 title", "3 title", "Optional:", "2 title", "Projects:", "4 title", "This notebook failed")
    places = [page.index(word) for word in order]
    assert places == sorted(places) and page.count("<h2>") == 3
    assert mark_of("**Where you are.** Nowhere") == mark_of("") == ""


def test_the_index_reads_both_ways_of_saying_it():
    assert what_one_learns("**What you will learn.** How it runs. **What you need.** Time.") == "How it runs."
    assert what_one_learns("**What you will learn**\n\n- a;\n- the *b*.\n\n**Time**: a minute.") == "- a;\n- the *b*."
    assert what_one_learns("nothing") == time_it_takes("nothing") == ""
    said = time_it_takes("**Time**: Run All takes a minute; with the\nexercises 90 minutes. More.")
    assert said == "With the exercises 90 minutes."


# -- files and what is kept ----------------------------------------------------------------------------------------


def test_the_digest_follows_cells_and_code_not_outputs(tmp_path):
    book = v4.new_notebook(cells=[v4.new_code_cell("1 + 1")])
    code = code_digest(tmp_path)
    before = book_digest(book, code)
    book.cells[0].outputs = [v4.new_output("stream", text="2")]
    assert book_digest(book, code) == before
    (tmp_path / "record.json").write_text("{}")
    assert book_digest(book, code_digest(tmp_path)) != before
    book.cells[0].source = "1 + 2"
    assert book_digest(book, code) != before


# -- widgets that carry along what else the kernel would answer ----------------------------------------------------


def test_the_mega_patches_explorer_carries_ten_seeds():
    from relvit_lab.lessons.mega_patches.explorer_figure import cut_into_mega_patches

    explorer = explore_mega_patches(patch=28, m=3, seed=12)
    assert explorer.carried == {}  # in a notebook it carries nothing
    explorer.carry()
    carried = explorer.carried
    assert carried["seeds"] == [*range(10), 12] and carried["m"] == 3 and len(carried["sheets"]) == 11
    assert set(carried["cuts"]) == {str(m) for m in range(1, 9)}
    sheet = _pixels(carried["sheets"][4])  # seed 4
    for tile, names in ((0, ()), (1, ("crop",)), (6, ("jitter", "grey")), (7, ("crop", "jitter", "grey"))):
        for shared in (False, True):
            data = cut_into_mega_patches(None, 28, 3, 4, shared_cuts=shared, **dict.fromkeys(names, True))
            assert shared or data.cuts.tolist() == carried["cuts"]["3"][4]
            assert list(data.changes) == carried["changes"][4][tile]
            cell = sheet[84 * shared + 28 : 84 * shared + 56, 84 * tile : 84 * tile + 28]  # row 1, column 0 of cells
            assert abs(cell / 255 - data.cells[3].transpose(1, 2, 0)).max() < 1 / 255


def _pixels(png: bytes):
    import io

    import numpy as np
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")).astype(float)


def test_explorers_carry_their_models_which_go_into_a_page_once():
    shown = [explore_relations(), explore_relations(model="digits_tasks"), explore_scores(model="digits_tasks")]
    assert all(one.in_page == {} for one in shown)  # in a notebook the kernel answers
    carry([one.model_id for one in shown])
    assert list(shown[2].data["shuffles"]) == ["0"]  # the page computes the others
    state = embed_data(views=shown, drop_defaults=False)["manager_state"]["state"]
    made = widgets_html({one.model_id: state[one.model_id] for one in shown})
    saved = json.loads(re.search(r'id="widget-data">(.*?)</script>', made, re.DOTALL)[1])
    assert [saved["models"][one.model_id]["state"]["in_page"] for one in shown] == [[], [0], [0]]
    assert [one["dataset"] for one in saved["in_page"]["models"]] == ["digits"]
    assert {one["dataset"] for one in saved["in_page"]["images"]} == {"photographs", "digits"}
    for one in shown:
        one.in_page = {}
    state = embed_data(views=shown, drop_defaults=False)["manager_state"]["state"]
    made = widgets_html({one.model_id: state[one.model_id] for one in shown})
    assert "safetensors" not in made and "readModel(about) {" not in made  # nothing of it without a model


def test_the_token_slider_carries_every_picture():
    from relvit_lab.show.style import new_drawing

    def draw(token):
        drawing = new_drawing(1, 1)
        drawing.text(0.5, 0.5, str(token))
        drawing.alt = f"token {token}"
        return drawing

    slider = TokenSlider(draw, side=2, token=1)
    assert slider.pictures == []
    slider.carry()
    assert slider.alts == [f"token {k}" for k in range(4)] and len(set(slider.pictures)) == 4
    assert abs(_pixels(slider.pictures[1]) - _pixels(slider.picture)).mean() < 2
    assert (slider.token, slider.alt) == (1, "token 1")


# -- for readers ---------------------------------------------------------------------------------------------------


def test_a_page_leaves_out_what_only_a_kernel_can_do():
    waits, done = "… Not yet: patchify waits for you", "✓ right"
    text = lambda said: [v4.new_output("execute_result", data={"text/plain": said, "text/html": said})]  # noqa: E731
    cells = [
        v4.new_code_cell("import math\nfrom os import path", id="imports"),
        v4.new_code_cell("import math\nmath.pi", id="used", outputs=text("3.14")),
        v4.new_code_cell("%load_ext magic", id="magic"),
        v4.new_code_cell("check('a', None)", id="stub", outputs=text(waits)),
        v4.new_code_cell("check('b', 1)", id="right", outputs=text(done)),
        v4.new_markdown_cell("How far are you?", id="progress-text"),
        v4.new_code_cell("progress('01')", id="progress", outputs=text("0 of 9")),
        v4.new_code_cell("figure()", id="twin", metadata={"tags": ["print"]}),
    ]
    book = v4.new_notebook(cells=cells)
    made = notebook_body(book)
    assert [cell.id for cell in book.cells] == [cell.id for cell in cells]  # the book itself is left as it was
    assert re.findall(r'id="cell-([\w-]+)"', made) == ["used", "magic", "stub", "right", "twin"]
    assert "Not yet" not in made and done in made and "0 of 9" not in made
    assert made.count('<section class="code in-print"') == 1
    assert made.count('<details class="source"><summary>Code</summary>') == 5
