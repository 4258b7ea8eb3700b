"""slides.html: the lesson of 90 minutes (docs/teaching.md) as slides, made of the executed notebooks' own cells."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_markdown_cell, new_notebook

from relvit_lab.publish.site.execute import views
from relvit_lab.publish.site.page import ALIVE, contents_and_cells, document
from relvit_lab.publish.site.widgets import live_models, widgets_html

TITLE = "Where are my neighbours? A lesson of 90 minutes"
SCRIPT = Path(__file__).with_name("slides.js")


@dataclass(frozen=True)
class Slide:
    """A heading, a few words, and cells, "NOTEBOOK ID" each. Of a code cell its output is shown, of an exercise its
    stub. What follows a prediction stays veiled until a choice is made."""

    title: str
    words: str
    cells: tuple[str, ...] = ()


LESSON = (
    Slide(TITLE, "Two patches of a photograph: where does one lie, seen from the other? Hands up.", ("01 game",)),
    Slide("An image in patches", "A vision transformer sees nothing else.", ("01 image",)),
    Slide("The map", "From left to right: patches, tokens, blocks, questions.", ("01 map",)),
    Slide("Four questions", "Stand on a patch: every other one shows its answer.", ("01 explorer",)),
    Slide("Which side, seen from whom?", "", ("01 predict-view", "01 sprel-matrix", "01 sprel-read")),
    Slide("At what angle?", "", ("01 predict-angle", "01 vectors")),
    Slide("In pairs: on which side?", "", ("01 task-01-relation", "01 exercise-01-relation")),
    Slide("What does a constant answer score?", "", ("01 predict-majority", "01 majority")),
    Slide("Tokens look at each other", "Query times key, softmax, mix.", ("01 attention-by-hand", "01 attention-map")),
    Slide("A score can answer", "Tokens (x, y, 1), and a matrix of 3 × 3.", ("03 hand-right", "03 hand-right-text")),
    Slide("At the board: above", "", ("03 task-03-above", "03 exercise-03-above")),
    Slide("Break", "Five minutes. Start notebook 05 with *Run All*."),
    Slide("Who can cheat?", "", ("05 predict-which", "05 places", "05 places-read")),
    Slide("Train them", "", ("05 live-curves", "05 live-read")),
    Slide("Now show them noise", "", ("05 predict-noise", "05 noise-table", "05 noise-read")),
    Slide("What counts in the end: classes", "", ("04 honest-answer", "04 honest-read")),
    Slide("At home", "Notebook 01 to the end; exercises 03-scores, 03-above and 03-predictions."),
)


def slides_page(books: Mapping[str, NotebookNode]) -> str | None:
    """The whole page. books: executed notebooks by their numbers, "01". None where one of the lesson's is missing."""
    if any(cell[:2] not in books for slide in LESSON for cell in slide.cells):
        return None
    cells = []
    for number, slide in enumerate(LESSON, start=1):
        heading = f"{'#' if number == 1 else '##'} {slide.title}\n\n{slide.words}"
        cells += [new_markdown_cell(heading, id=f"slide-{number}"), *(_cell(books[c[:2]], c[3:]) for c in slide.cells)]
    drawn = {name for cell in cells for name in views(cell)}
    models = {name: one for book in books.values() for name, one in live_models(book).items() if name in drawn}
    _, main = contents_and_cells(new_notebook(cells=cells), models, exclude_input=True)
    way = (
        '<nav class="way" aria-label="Slides"><button type="button" rel="prev">Previous</button>'
        '<output aria-live="polite"></output><button type="button" rel="next">Next</button></nav>'
    )
    script = f"<script>{ALIVE}\n{SCRIPT.read_text(encoding='utf-8')}</script>"
    return document(TITLE, f'<div class="slides">\n{main}\n{way}\n</div>\n{script}\n{widgets_html(models)}')


def _cell(book: NotebookNode, name: str) -> NotebookNode:
    cell = next(cell for cell in book.cells if cell.id == name)
    if name.startswith("exercise-"):
        return new_markdown_cell(f"```python\n{cell.source}\n```", id=name)
    return cell
