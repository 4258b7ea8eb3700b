"""The site of pages: equations, markdown, outputs, widgets, the index, and a whole small build with its cache."""

import base64
import json
import os
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlparse

import nbformat
import pytest
from nbformat import v4

from relvit_lab.__main__ import main
from relvit_lab.errors import RelvitError
from relvit_lab.site.build import build_site
from relvit_lab.site.equations import mathml
from relvit_lab.site.files import book_digest, code_digest, write_whole
from relvit_lab.site.index import time_it_takes, what_one_learns
from relvit_lab.site.markdown import PageMarkdown
from relvit_lab.site.outputs import output_html
from relvit_lab.site.widgets import live_models, widgets_html
from relvit_lab.widgets.mega_patches import explore_mega_patches
from relvit_lab.widgets.token_slider import TokenSlider

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
REMOTE_CODE = r"\bfrom\s*['\"]|\bimport\s*\(?\s*['\"]|fetch\(|XMLHttpRequest|WebSocket"
LOADS = {"src", "srcset", "data", "poster", "background", "action", "formaction", "ping", "xlink:href", "manifest"}


class Loads(HTMLParser):
    """Whatever a page would load, styles included. Where a link leads is not loaded: `links`."""

    def __init__(self, page: str):
        super().__init__()
        self.found, self.links, self.ids, self._style = [], [], [], False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self._style = tag == "style"
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name == "href" and tag == "a":
                self.links.append(value)
            elif name in LOADS or name == "href":
                self.found.append(value)
            elif name == "style":
                self._css(value)

    def handle_data(self, text):
        if self._style:
            self._css(text)

    def _css(self, text):
        self.found += re.findall(r"url\(\s*['\"]?([^'\")]*)", text) + re.findall(r"@import\s+(\S+)", text)

    def outside(self) -> list[str]:
        return [value for value in self.found if not value.startswith(("data:image/", "#"))]


def check_page(path: Path) -> Loads:
    """It loads nothing, asks for no remote code, and its own links lead somewhere."""
    page = path.read_text(encoding="utf-8")
    loads = Loads(page)
    assert loads.outside() == [], path.name
    scripts = re.findall(r"<script(?![^>]*application/json)[^>]*>(.*?)</script>", page, re.DOTALL)
    for script in [*scripts, *embedded_modules(page)]:
        assert not re.search(REMOTE_CODE, script)
    assert len(loads.ids) == len(set(loads.ids)), "an id stands twice"
    for link in loads.links:
        if link.startswith("#"):
            assert link[1:] in loads.ids, link
        elif not urlparse(link).scheme:
            assert (path.parent / link.partition("#")[0]).is_file(), link
    return loads


def embedded_modules(page: str) -> list[str]:
    data = re.search(r'<script type="application/json" id="widget-data">(.*?)</script>', page, re.DOTALL)
    return json.loads(data[1])["modules"] if data else []


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


def test_pictures_are_taken_along_or_refused():
    page = PageMarkdown()
    attached = {"a.png": {"image/png": base64.b64encode(PIXEL).decode()}}
    assert 'src="data:image/png;base64,' in page.to_html("![alt](attachment:a.png)", attached)
    with pytest.raises(RelvitError, match="lies outside the notebook"):
        page.to_html("![alt](https://example.org/a.png)")


def output(data: dict, **metadata: object) -> nbformat.NotebookNode:
    return v4.new_output("display_data", data=data, metadata=metadata)


def test_outputs_become_html():
    show = lambda made, models=(): output_html(made, models, PageMarkdown())  # noqa: E731
    assert show(v4.new_output("stream", name="stdout", text="a < b\n")) == '<pre class="text stdout">a &lt; b\n</pre>'
    assert 'class="text stderr"' in show(v4.new_output("stream", name="stderr", text="careful"))
    picture = base64.b64encode(PIXEL).decode()
    assert 'alt="a &quot;dot&quot;" width="1" height="1"' in show(
        output({"image/png": picture, "text/plain": "x"}, **{"image/png": {"alt": 'a "dot"'}})
    )
    assert 'alt="A dot."' in show(output({"image/png": picture, "text/plain": "A dot."}))
    assert 'alt=""' in show(output({"image/png": picture, "text/plain": "<Figure size 1x1>"}))
    assert "<b>x</b>" in show(output({"text/html": "<b>x</b>", "text/plain": "x"}))
    assert "<em>x</em>" in show(output({"text/markdown": "*x*"}))
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "m1"}, "text/plain": "in words <"}
    assert 'data-model="m1"><pre class="text">in words &lt;</pre>' in show(output(view), {"m1"})
    assert "needs a running notebook" in show(output(view))


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


def test_the_index_reads_both_ways_of_saying_it():
    assert what_one_learns("**What you will learn.** How it runs. **What you need.** Time.") == "How it runs."
    assert what_one_learns("**What you will learn**\n\n- a;\n- the *b*.\n\n**Time**: a minute.") == "- a;\n- the *b*."
    assert what_one_learns("nothing") == time_it_takes("nothing") == ""
    said = time_it_takes("**Time**: Run All takes a minute; with the\nexercises 90 minutes. More.")
    assert said == "With the exercises 90 minutes."


# -- files and what is kept ----------------------------------------------------------------------------------------


def test_a_file_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.html"
    write_whole(path, "one")
    with pytest.raises(TypeError):
        write_whole(path, None)
    assert path.read_text() == "one" and [file.name for file in path.parent.iterdir()] == ["a.html"]
    assert path.stat().st_mode & 0o777 == 0o644


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
    from relvit_lab.viz.mega_patches import cut_into_mega_patches

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


def test_the_token_slider_carries_every_picture():
    from relvit_lab.viz.style import new_drawing

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


# -- a small site, whole -------------------------------------------------------------------------------------------

TITLE = "# 0{n} · Part {n}\n\n**What you will learn.** Counting to {n}.\n\n**Time**: {n} minutes."
DRAW = (
    "import os\nfrom relvit_lab.viz.style import new_drawing\nfigure = new_drawing(5, 3)\n"
    "figure.alt = 'Nothing but white'\nprint(os.path.join(os.environ['RELVIT_HOME'], 'runs', 'x'))\nfigure"
)
WIDGET = """from relvit_lab.exercises import predict
predict("02-time", ["about 2 times", "about 8 times, like the tokens", "about 60 times, like the pairs"])"""


def write_book(path: Path, *cells: str) -> None:
    made = [v4.new_markdown_cell(TITLE.format(n=path.stem[1]), id="title")]
    made += [v4.new_code_cell(source, id=f"cell-{k}") for k, source in enumerate(cells)]
    path.parent.mkdir(exist_ok=True)
    nbformat.write(v4.new_notebook(cells=made), path)


@pytest.fixture
def books(tmp_path) -> Path:
    """Three small notebooks in the test's own project folder; the second fails."""
    write_book(tmp_path / "notebooks" / "01_one.ipynb", DRAW)
    write_book(tmp_path / "notebooks" / "02_two.ipynb", "1 + 1", "print('so far')\n1 / 0")
    write_book(tmp_path / "notebooks" / "03_three.ipynb", "2 ** 2", WIDGET)
    return tmp_path / "notebooks"


def test_a_small_site_with_a_failure_then_mended(books, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr("relvit_lab.site.execute.code_digest", lambda results: "whoever edits the package meanwhile")
    stale = tmp_path / "site" / "02_two.html"
    write_whole(stale, "of an earlier build")
    assert main(["site"]) == 1
    out, err = capfd.readouterr()
    assert "3 notebooks: 0 kept from an earlier build, 3 to run, 2 at a time" in out
    assert "FAILED: 02_two.ipynb, cell 'cell-1': ZeroDivisionError: division by zero" in err and "1 / 0" in err
    site = tmp_path / "site"
    assert sorted(path.name for path in site.iterdir()) == ["01_one.html", "03_three.html", "index.html"]

    one = (site / "01_one.html").read_text()
    assert ">runs/x\n" in one and str(tmp_path) not in one  # the place of the build is nobody's business
    assert 'alt="Nothing but white"' in one and 'href="03_three.html" rel="next">03 · Part 3' in one
    assert embedded_modules(one) == []
    three = (site / "03_three.html").read_text()
    assert '<pre class="text">4</pre>' in three and 'rel="prev">01 · Part 1' in three
    assert len(embedded_modules(three)) == 1
    index = (site / "index.html").read_text()
    assert index.index("01 · Part 1") < index.index("02 · Part 2") < index.index("03 · Part 3")
    assert "Counting to 3." in index and "3 minutes." in index and 'href="02_two.html"' not in index
    assert index.count("<img") == 1 and "This notebook failed" in index
    for page in site.glob("*.html"):
        check_page(page)

    write_book(books / "02_two.ipynb", "1 + 1")
    begin = time.monotonic()
    assert main(["site"]) == 0
    out = capfd.readouterr().out
    assert "2 kept from an earlier build, 1 to run" in out and "4 pages," in out
    assert 'href="02_two.html" rel="next"' in (site / "01_one.html").read_text() and stale.is_file()
    kept = sorted(path.name.partition("-")[0] for path in (tmp_path / ".site_cache").glob("*.ipynb"))
    assert kept == ["01_one", "02_two", "03_three"]  # one each
    assert main(["site", "elsewhere"]) == 0 and (tmp_path / "elsewhere" / "index.html").is_file()
    assert "3 kept from an earlier build, 0 to run" in capfd.readouterr().out
    assert time.monotonic() - begin < 120


def test_an_equation_that_cannot_be_converted_fails_its_page(tmp_path):
    for n in (1, 2):
        write_book(tmp_path / "notebooks" / f"0{n}_x.ipynb")
    book = nbformat.read(tmp_path / "notebooks" / "02_x.ipynb", 4)
    book.cells.append(v4.new_markdown_cell(r"$$\wrong x$$", id="eq"))
    nbformat.write(book, tmp_path / "notebooks" / "02_x.ipynb")
    written, failures = build_site(say=lambda text: None)
    assert [path.name for path in written] == ["index.html", "01_x.html"]
    assert len(failures) == 1 and r"02_x.ipynb, cell 'eq': equation '\\wrong x': \wrong is not known" in failures[0]
    assert ' rel="' not in written[1].read_text()


def test_what_cannot_be_built_is_said(tmp_path, capsys):
    assert main(["site"]) == 1 and "no notebooks (*.ipynb) in" in capsys.readouterr().err
    assert main(["site", "a", "b"]) == 1 and "one folder to write to" in capsys.readouterr().err
    assert main(["site", "--notebook", "b"]) == 1 and "did you mean 'notebooks'" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
def test_an_interrupted_build_keeps_what_is_done_and_leaves_no_kernel(tmp_path):
    write_book(tmp_path / "notebooks" / "01_quick.ipynb", "1")
    hang = "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(600)"
    write_book(tmp_path / "notebooks" / "02_hangs.ipynb", hang)
    command = [sys.executable, "-u", "-m", "relvit_lab", "site"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = ""
    while "01_quick done" not in said:
        line = process.stdout.readline()
        assert line, said
        said += line
    while not (found := list((tmp_path / ".site_cache").glob("*/pid"))) or not found[0].read_text():
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said += process.communicate(timeout=60)[0]
    assert process.returncode == 130, said
    with pytest.raises(ProcessLookupError):
        os.kill(int(found[0].read_text()), 0)
    assert [path.name.partition("-")[0] for path in (tmp_path / ".site_cache").glob("*.ipynb")] == ["01_quick"]
    assert not (tmp_path / "site").exists()


@pytest.mark.slow
def test_the_whole_site_is_small_quick_and_closed(tmp_path):
    """All notebooks: under 40 MB and, on two idle cores, ten minutes; nothing is loaded, nothing failed."""
    (tmp_path / "results").symlink_to(ROOT / "results")
    begin = time.monotonic()
    written, failures = build_site(notebooks=ROOT / "notebooks")
    seconds = time.monotonic() - begin
    assert failures == [] and len(written) == len(NOTEBOOKS) + 1
    size = sum(path.stat().st_size for path in written)
    print(f"{size / 1e6:.1f} MB in {seconds:.0f} s")
    assert size < 40e6
    for path in written:
        check_page(path)
        page = path.read_text(encoding="utf-8")
        assert str(tmp_path) not in page and str(ROOT) not in page, "a place of this machine"
        assert 'class="no-widget"' not in page
    index = written[0].read_text(encoding="utf-8")
    assert index.count("<img") == len(NOTEBOOKS) and index.count('class="time"') == len(NOTEBOOKS)
    assert seconds < 600 * max(1.0, os.getloadavg()[0] / 2), f"{seconds:.0f} s"
