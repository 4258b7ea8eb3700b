"""Names from outside in pictures: whatever they hold, they are drawn, and can be told apart."""

import io
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib import font_manager

from relvit_lab.common.shown_names import readable, readable_names
from relvit_lab.show import lettering
from relvit_lab.show.relations import predictions_grid
from relvit_lab.show.style import Drawing, new_drawing, styled

ODD = [
    "$1 to $5", "$50^{ note $", r"\$ and \frac{", "a$_{", "caf\udce9", "\udcff\udcfe", "猫", "日本", "한국",
    "tab\there", "null\x00", "bell\x07", "\u202eright to left", "zero\u200bwidth", "cafe\u0301", "\N{GRINNING FACE}",
    "&<b>%_#~^", "",
]  # fmt: skip


@styled
def drawing(names: list[str]) -> Drawing:
    """Names wherever this package puts them: title, ticks, labels, legend, text, alt."""
    figure = new_drawing(4, 3)
    ax = figure.subplots()
    ax.plot([0, 1], [1, 10], label=names[0] or "line")
    ax.set(title=names[0], xlabel=names[0], xticks=range(len(names)), xticklabels=names)
    ax.text(0, 1, names[0])
    ax.legend()
    figure.suptitle(names[0])
    figure.alt = f"A picture of {names[0]}."
    return figure


@pytest.mark.parametrize("name", ODD)
def test_any_name_is_drawn_in_every_format(name):
    figure = drawing([name, "plain"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bundle, _ = figure._repr_mimebundle_()
        for kind in ("svg", "pdf"):
            figure.savefig(io.BytesIO(), format=kind, metadata={"Title": figure.alt})
    bundle["text/plain"].encode()  # no lone surrogate is left


def test_a_dollar_is_drawn_as_it_stands_and_powers_of_ten_as_such():
    figure = drawing(["$x^2$", r"\$"])
    figure.axes[0].set_yscale("log")
    figure.png()
    ax = figure.axes[0]
    assert not ax.title.get_parse_math() and ax.title.get_text() == "$x^2$"
    assert not any(tick.get_parse_math() for tick in ax.get_xticklabels() if "$" in tick.get_text())
    assert all(tick.get_parse_math() for tick in ax.get_yticklabels())


def test_class_names_of_a_grid_of_predictions():
    images, said = np.zeros((2, 3, 8, 8), "uint8"), np.zeros((2, 4, 4), int)
    predictions_grid(images, said, 2, titles=["$50^{ note $", "caf\udce9"]).png()


def test_a_font_that_has_the_letters_is_taken_and_else_it_is_said_once(monkeypatch, capsys):
    monkeypatch.setattr(lettering, "_told", [])
    monkeypatch.setattr(lettering, "_fonts", lambda: (("Other", frozenset("犬")), ("Cat Sans", frozenset("猫狗"))))
    figure = drawing(["猫", "狗"])
    lettering.letter(figure, math=False)
    assert figure.axes[0].title.get_fontfamily()[-1] == "Cat Sans" and capsys.readouterr().err == ""
    monkeypatch.setattr(lettering, "_fonts", lambda: (("Other", frozenset("犬")),))
    for _ in range(2):
        lettering.letter(drawing(["猫", "狗"]), math=False)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "狗 猫" in said and "fonts-noto-cjk" in said


def test_fonts_of_boxes_do_not_count():
    names = [name for name, _ in lettering._fonts()]
    assert "DejaVu Sans" in names and not [name for name in names if "last resort" in name.lower()]
    assert {font.name for font in font_manager.fontManager.ttflist} >= set(names)


# -- told apart ------------------------------------------------------------------------------------------------------

ALIKE = [
    ("café", "cafe\u0301"), ("cat", "cat "), (" cat", "cat"), ("cat", "cat\u200b"), ("a b", "a\xa0b"), ("fi", "ﬁ"),
    ("Å", "\u212b"), ("cat", "cat\t"), ("x\udce9", "x\udce8"), ("", " "), ("cat ", "cat  "), ("a b", "a  b"),
]  # fmt: skip


@pytest.mark.parametrize("one, other", ALIKE)
def test_names_that_look_alike_are_shown_apart(one, other):
    first, second, third = readable_names([one, other, "dog"])
    assert third == "dog" and first != second
    assert first.strip() == first and second.strip() == second
    assert first.isprintable() and second.isprintable()
    assert " ".join(first.split()) != " ".join(second.split()) or "  " in first + second


def test_usual_names_stay():
    names = ["cat", "sea lion", "日本", "café", "naïve", "ñandú", "Ω", "$5", "שלום"]
    assert readable_names(names) == names and list(map(readable, names)) == names


@given(st.text())
def test_whatever_is_readable_can_be_written_down(text):
    said = readable(text + "\udce9")
    assert said.encode() and readable(said) == said
