"""notebooks/04_train.ipynb in JupyterLab, as a person sees it: Run All, the live view, interrupt, and going on."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import nbformat
import pytest

pytest.importorskip("playwright")

from browser import lab

pytestmark = pytest.mark.browser

TRAIN = Path(__file__).parents[2] / "notebooks" / "04_train.ipynb"
BAR = "[role=progressbar]"


@pytest.fixture
def opened(chromium: str, tmp_path: Path) -> Iterator[Callable[..., lab.Notebook]]:
    """opened(preset="smoke", ...): a copy of the notebook with these parameters, open in a JupyterLab of its own."""
    with ExitStack() as stack:

        def open_copy(**parameters: Any) -> lab.Notebook:
            folder = tmp_path / "notebooks"
            folder.mkdir()
            nbformat.write(with_parameters(nbformat.read(TRAIN, 4), parameters), folder / TRAIN.name)
            address = stack.enter_context(lab.server(folder))
            return stack.enter_context(lab.notebook(chromium, address, TRAIN.name))

        yield open_copy


def with_parameters(book: nbformat.NotebookNode, parameters: dict[str, Any]) -> nbformat.NotebookNode:
    """Change the parameters cell as a person would, in its lines."""
    (cell,) = (cell for cell in book.cells if "parameters" in cell.metadata.get("tags", []))
    for name, value in parameters.items():
        cell.source, n = re.subn(rf"(?m)^({name}: [^=]+ = )[^#]*", lambda m, v=value: f"{m[1]}{v!r}  ", cell.source)
        assert n == 1, f"no line for {name}"
    return book


def guess_nothing(book: lab.Notebook) -> None:
    """Until one has guessed how it ends, the training is veiled."""
    book.within("predict-sprel", "fieldset").get_by_text("Show it anyway").click()


def test_run_all_shows_bar_plot_table_and_pictures(opened, tmp_path):
    book = opened(preset="smoke", epochs=8)
    book.run_all()
    guess_nothing(book)
    book.show("train")

    bar, plot = book.within("train", BAR), book.within("train", "img")
    bar.wait_for(state="visible")
    assert bar.count() == 1
    values = set()

    def moves_above_a_plot() -> bool:
        """The bar has been seen in two places, and beside it a picture."""
        page = book.page.evaluate(
            """index => {
                const cell = document.querySelector(`.jp-Notebook .jp-Cell[data-windowed-list-index="${index}"]`);
                const bars = [...cell.querySelectorAll("[role=progressbar]")];
                const pictures = [...cell.querySelectorAll("img")].filter(picture => picture.naturalWidth > 400);
                return {bars: bars.map(bar => bar.value), pictures: pictures.length, text: cell.innerText};
            }""",
            list(book.cells()).index("train"),
        )
        assert len(page["bars"]) <= 1
        values.update(page["bars"])
        return len(values) > 1 and page["bars"] and page["pictures"] and "left" in page["text"]

    book.wait_until(moves_above_a_plot, "the bar moves, with the time that is left, and a plot beside it")

    book.wait_until_done("predictions")
    assert book.errors() == [] and book.complaints == []
    assert bar.count() == 0 and plot.count() == 2  # one plot a stage
    assert [text.split(" ")[:3] for text in book.outputs("train") if " done in " in text] == [
        ["pretrain", "done", "in"],
        ["finetune", "done", "in"],
    ]
    headers = book.within("summary", "th").all_inner_texts()
    assert any("accuracy" in header.lower() for header in headers), headers
    assert book.within("summary", "tbody tr").count() == 2
    assert book.within("curves", "img").count() == 1 and book.within("predictions", "img").count() == 2
    results = {path: path.read_bytes() for path in (tmp_path / "runs").glob("*/result.json")}
    assert len(results) == 2

    first = book.number("predictions")
    book.run_all()
    book.wait_until_done("predictions", after=first)
    said = book.outputs("train")
    assert sum("already done, replayed" in text for text in said) == 2, said
    assert plot.count() == 2 and book.within("predictions", "img").count() == 2
    assert book.errors() == [] and book.complaints == []
    assert all(path.read_bytes() == before for path, before in results.items())


@pytest.mark.long
def test_interrupted_it_says_how_to_go_on_and_goes_on(opened, tmp_path):
    book = opened(preset="smoke", scenario="supervised", epochs=100_000)

    def epochs_done() -> int:
        (folder,) = (tmp_path / "runs").glob("*")
        lines = (folder / "metrics.jsonl").read_text().splitlines()
        return json.loads(lines[-1])["epoch"]

    def interrupt_in_epoch(n: int) -> str:
        """What the cell says after an interrupt in epoch n or later."""
        shown = book.within("train", BAR)
        shown.wait_for(state="visible")
        book.wait_until(lambda: max(map(epoch_shown, book.outputs("train"))) >= n, f"epoch {n}")
        book.execute("notebook:interrupt-kernel")
        shown.wait_for(state="detached")
        book.wait_for_kernel()
        return "\n".join(book.outputs("train"))

    book.run_all()
    guess_nothing(book)
    said = interrupt_in_epoch(3)
    assert "Interrupted in supervised" in said and "run this cell again to go on" in said
    (error,) = (output for output in book.cells()["train"]["outputs"] if output["output_type"] == "error")
    assert error["traceback"] == ["Interrupted: see above how to go on."]  # and no lines of our code
    (checkpoint,) = (tmp_path / "runs").glob("*/checkpoint.pt")
    assert str(checkpoint.parent) in said
    assert book.number("summary") is None  # the cells below wait
    before = epochs_done()
    assert before >= 2

    book.run_cell("train")
    book.wait_until(lambda: any("going on from" in text for text in book.outputs("train")), "it says that it goes on")
    said = "\n".join(book.outputs("train"))
    assert f"going on from epoch {before + 1}, step" in said
    said = interrupt_in_epoch(before + 2)
    assert "run this cell again to go on" in said and epochs_done() > before
    assert not checkpoint.with_name("result.json").exists()
    assert book.complaints == []


def epoch_shown(text: str) -> int:
    """The epoch that the bar says it is in."""
    found = re.search(r"epoch (\d+) of", text)
    return int(found[1]) if found else 0
