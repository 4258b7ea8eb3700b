"""Whole sites: small ones with their cache, failures and Ctrl-C, and, slow, that of all notebooks."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from executed import NOTEBOOKS, executed
from nbformat import v4
from site_fixtures import check_page, embedded_modules

from relvit_lab.__main__ import main
from relvit_lab.publish.site.build import write_pages
from relvit_lab.publish.site.execute import Executed
from relvit_lab.publish.site.try_page import write_try

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
TITLE = "# 0{n} · Part {n}\n\n**What you will learn.** Counting to {n}.\n\n**Time**: {n} minutes."
DRAW = (
    "import os\nfrom relvit_lab.show.style import new_drawing\nfigure = new_drawing(5, 3)\n"
    "figure.alt = 'Nothing but white'\nprint(os.path.join(os.environ['RELVIT_HOME'], 'runs', 'x'))\nfigure"
)
WIDGET = """from relvit_lab.lessons.ask import predict
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
    monkeypatch.setattr(
        "relvit_lab.publish.site.execute.code_digest", lambda results: "whoever edits the package meanwhile"
    )
    stale = tmp_path / "site" / "02_two.html"
    stale.parent.mkdir()
    stale.write_text("of an earlier build")
    assert main(["site"]) == 1
    out, err = capfd.readouterr()
    assert "3 notebooks: 0 kept from an earlier build, 3 to run, 2 at a time" in out
    assert "FAILED: 02_two.ipynb, cell 'cell-1': ZeroDivisionError: division by zero" in err and "1 / 0" in err
    site = tmp_path / "site"
    assert sorted(path.name for path in site.iterdir()) == ["01_one.html", "03_three.html", "index.html", "try.html"]

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
    assert "2 kept from an earlier build, 1 to run" in out and "5 pages," in out
    assert 'href="02_two.html" rel="next"' in (site / "01_one.html").read_text() and stale.is_file()
    kept = sorted(path.name.partition("-")[0] for path in (tmp_path / ".site_cache").glob("*.ipynb"))
    assert kept == ["01_one", "02_two", "03_three"]  # one each
    assert main(["site", "elsewhere"]) == 0 and (tmp_path / "elsewhere" / "index.html").is_file()
    assert "3 kept from an earlier build, 0 to run" in capfd.readouterr().out
    assert time.monotonic() - begin < 120


def test_an_equation_that_cannot_be_converted_fails_its_page(tmp_path):
    books = [v4.new_notebook(cells=[v4.new_markdown_cell(TITLE.format(n=n), id="title")]) for n in (1, 2)]
    books[1].cells.append(v4.new_markdown_cell(r"$$\wrong x$$", id="eq"))
    written, failures = write_pages(
        tmp_path, [Executed(Path(f"0{n}_x.ipynb"), book) for n, book in enumerate(books, start=1)]
    )
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
def test_the_whole_site_is_small_quick_and_closed(tmp_path, tmp_path_factory):
    """All notebooks: under 40 MB and, two at a time on idle cores, eight minutes; nothing is loaded, nothing failed."""
    books = [executed(stem, tmp_path_factory) for stem in NOTEBOOKS]
    written, failures = write_pages(tmp_path, books)
    write_try(tmp_path, home="index.html")  # the index leads there
    assert failures == [] and len(written) == len(NOTEBOOKS) + 2  # the index and the slides
    size = sum(path.stat().st_size for path in written)
    seconds = sum(book.seconds for book in books) / 2
    print(f"{size / 1e6:.1f} MB in {seconds:.0f} s")
    assert size < 40e6
    places = (str(tmp_path_factory.getbasetemp().parent), str(ROOT))
    for path in written:
        check_page(path)
        page = path.read_text(encoding="utf-8")
        assert not [place for place in places if place in page], "a place of this machine"
        assert 'class="no-widget"' not in page
    index = written[0].read_text(encoding="utf-8")
    assert index.count("<img") == len(NOTEBOOKS) and index.count('class="time"') == len(NOTEBOOKS)
    assert seconds < 480 * max(1.0, os.getloadavg()[0] / 2), f"{seconds:.0f} s"
