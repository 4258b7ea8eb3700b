"""What each widget leaves in the saved notebook: a picture, words, and how it comes to life again."""

import base64
import io
import re

import IPython.display
import nbformat
import pytest
from PIL import Image

from relvit_lab.lessons.ask import predict
from relvit_lab.lessons.attention_scores.explorer import explore_scores
from relvit_lab.lessons.attention_scores.token_slider import TokenSlider
from relvit_lab.lessons.mega_patches.explorer import explore_mega_patches
from relvit_lab.lessons.patch_relations.explorer import explore_relations
from relvit_lab.lessons.patch_relations.guess import guess_relation
from relvit_lab.lessons.pe_shortcut.lab import shortcut_lab
from relvit_lab.publish.site.page import contents_and_cells
from relvit_lab.show import still
from relvit_lab.show.photographs import photograph
from relvit_lab.show.style import new_drawing

VIEW = "application/vnd.jupyter.widget-view+json"


def slider():
    def draw(token):
        figure = new_drawing(3, 2)
        figure.alt = f"token {token}"
        return figure

    return TokenSlider(draw, side=2)


MAKERS = {
    "relations": lambda: explore_relations(photograph(64), 16),
    "scores": lambda: explore_scores(model="digits_tasks"),
    "mega_patches": lambda: explore_mega_patches(m=3),
    "guess": lambda: guess_relation(photograph(64), side=4, rounds=3),
    "lab": shortcut_lab,
    "slider": slider,
    "predict": lambda: predict("04-sprel", ["a", "about half of them", "c"]),
}


def shown(widget, monkeypatch) -> list[tuple[dict, dict]]:
    """The outputs of a cell that ends in the widget."""
    outputs = []
    monkeypatch.setattr(
        IPython.display, "display", lambda data, raw=False, metadata=None: outputs.append((data, metadata or {}))
    )
    widget._ipython_display_()
    return outputs


@pytest.mark.parametrize("name", MAKERS)
def test_a_widget_leaves_its_picture_and_its_words(name, monkeypatch):
    widget = MAKERS[name]()
    (first, _), (second, metadata) = shown(widget, monkeypatch)
    assert VIEW in first and VIEW not in second and metadata == {still.STILL: True}
    for data in (first, second):
        assert still.LIFE in data["text/html"] and still.LIFE in data["text/plain"]
    text = second["text/html"]
    assert "<script" not in text  # an untrusted notebook loses them, and styles: then a prediction veils nothing
    assert ("<style" in text) == (name == "predict")
    if name == "predict":
        question = widget.question
        assert question in first["text/plain"] and question[:30] in text and "<details " in text
        before, _, _ = text.partition("<details ")
        assert widget.because[:20] not in before  # not given away
    else:
        (picture,) = re.findall(r'src="data:image/png;base64,([^"]+)"', text)
        image = Image.open(io.BytesIO(base64.b64decode(picture)))
        assert image.width > 100 and re.search(r'alt="[^"]+', text)
        assert len(picture) < 300_000
    assert widget._dom_classes == ("relvit-live",) and ".relvit-still" in widget._css


def test_a_picture_that_fails_ends_nothing(monkeypatch):
    widget = slider()
    monkeypatch.setattr(widget, "still_picture", lambda: 1 / 0)
    (first, _), _ = shown(widget, monkeypatch)
    assert "cannot be drawn" in first["text/html"] and "token 0" in first["text/plain"]


def test_pages_of_our_own_show_it_once(monkeypatch):
    widget = slider()
    outputs = [
        nbformat.v4.new_output("display_data", data, metadata=metadata) for data, metadata in shown(widget, monkeypatch)
    ]
    books = [nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=[one])]) for one in outputs]
    pages = [contents_and_cells(book, {widget.model_id})[1] for book in books]
    assert "relvit-still" in pages[0] and "relvit-still" not in pages[1] and "<img" not in pages[1]


@pytest.mark.parametrize("saved", [True, False])
def test_a_plain_conversion_shows_it(monkeypatch, saved):
    """saved: whether the notebook holds the state of its widgets, as papermill writes it."""
    from nbconvert import HTMLExporter

    cell = nbformat.v4.new_code_cell("x")
    cell.outputs = [
        nbformat.v4.new_output("display_data", data, metadata=metadata)
        for name in ("predict", "slider")
        for data, metadata in shown(MAKERS[name](), monkeypatch)
    ]
    ids = [output.data[VIEW]["model_id"] for output in cell.outputs if VIEW in output.data]
    state = {name: {"model_name": "AnyModel", "model_module": "anywidget", "state": {}} for name in ids}
    widgets = {"widgets": {"application/vnd.jupyter.widget-state+json": {"version_major": 2, "state": state}}}
    book = nbformat.v4.new_notebook(cells=[cell], metadata=widgets if saved else {})
    page, _ = HTMLExporter().from_notebook_node(book)
    text = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert text.count('class="relvit-still"') == (2 if saved else 4) and text.count(still.ONCE) == (0 if saved else 2)
    assert text.count(still.LIFE) >= 2 and "about half of them" in text and "data:image/png" in text
