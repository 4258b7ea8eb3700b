"""Nothing on the way answers a prediction before it is made: above its question, stored below it, outside the veil."""

import re

import nbformat
import pytest
from executed import NOTEBOOKS, executed, together
from nbformat import NotebookNode
from veiled import asked, heading, veiled

from relvit_lab.lessons.ask import PREDICTIONS, journal, predict
from relvit_lab.lessons.ask import checking as ask

ask.load_all()
BOOKS = {stem: nbformat.read(path, 4) for stem, path in NOTEBOOKS.items()}
# The cell that answers first, and what answers, there or anywhere. Of a code cell: what it prints, or a picture's text.
ANSWERS = {
    "01-strips": ("strips", r"reshape: +\[0, 1, 2, 3\]"),
    "01-tokens": ("eq1", r"z_0 +\(1, 10, 96\)"),
    "01-view": ("sprel-matrix", r"row 4, column 0, which holds RB"),
    "01-majority": ("majority", r"19\.1"),
    "01-angle": ("vectors-text", r"angle is 0|: 0 degrees"),
    "01-shuffle": ("shuffle-picture-text", r"same nine colours|p\[t\],? (and )?p\[u\]"),
    "02-time": ("cost-ratio", r"8\.1 times fewer|8\.8"),
    "02-shared": ("shared-count", r"diagonal 100|diagonal are never distorted"),
    "02-match": ("found-explained", r"52 %"),
    "02-flat": ("flat-explained", r"two fifths|24\.5 %"),
    "03-symmetric": ("symmetric", r"symmetric parts: 9 of|need asymmetric"),
    "03-share": ("counts", r"6\.2 %|1,327,104"),
    "03-zero": ("losses", r"2\.197|log 9\b"),
    "03-confused": ("confused-explain", r"LC is taken for LT or LB"),
    "03-shuffle": ("shuffle-explain", r"rows and columns of every score matrix move together|S\[p\]\[:, p\]"),
    "03-rows": ("explore-text", r"do not compete over j"),
    "03-even": ("even", r"untrained +block 1 +heads: +17 +17 +17|even row"),
    "04-sprel": ("train", r"SpRel from \d\d\.\d to \d\d\.\d %"),
    "05-which": ("places-read", r"asks for exactly that place|gives away"),
    "05-noise": ("noise-read", r"nearly as many right on noise as on digits"),
    "05-loss": ("loss", r"PE off +the loss changes by [+-]0\.000|equivariant|changes nothing for a model without PE"),
    "05-take": ("lab-read", r"97\.6 to 28\.3"),
    "05-give": ("lab-read", r"is no protection"),
    "05-bare": ("lab-read", r"neither 66\.1"),
    "05-paper": ("figure4-read", r"no better for it than a random start|comparable to a random"),
    "05-larger": ("figure4-larger-read", r"ends \*below\* a network"),
    "05-border": ("leaks-read", r"read off the leak"),
    "05-joint": ("joint-read", r"it is told\."),
    "05-backbones": ("reads-read", r"9 of 49"),
    "05-run-b": ("fault-b-read", r"\*other\* diagonal|LT is called RB"),
    "06-alone": ("look-read", r"the last Ang alone|89\.39"),
    "06-score": ("scores", r"-0\.48|no sign of it"),
    "06-range": ("ranges", r"0\.31 (on average|apart)"),
    "06-top": ("top", r"44\.\d ?%|nearly half"),
    "07-paired": ("seed-read", r"scatter less than either"),
    "07-best": ("best", r"less the last: \+0\.00, \+0\.60|best epoch above|look better than"),
    "07-many": ("many", r"\b5\.0 on average|one in twenty"),
    "08-same": ("floors", r"Same patch +% +93\.8|starts at 94 %"),
    "08-equal": ("train-all", r"supervised, twice +seed 0 +\.+ +class accuracy"),
    "08-noise": ("checkup-read", r"on noise as good as ever|needs no place \|"),
    "08-id": ("ids", r"renamed: +False|is trained anew: no"),
    "09-nearest": ("nearest-read", r"says \*where\*, and not \*what\*"),
    "09-place": ("shares-read", r"little of its variance goes with the place"),
    "09-probe": ("probes-read", r"stands clearly above the floors"),
    "09-lens": ("lens-read", r"as good on collages as on photographs"),
    "09-curve": ("curves-read", r"hardly anything left for it to learn"),
}
# Their own answer is all that is said: a heading, or the next question, follows at once.
ALONE = {"01-zero"} | {name for name in PREDICTIONS.names() if name.startswith("09-quiz-")}
FOLDED = re.compile(r"<details.*?</details>", re.DOTALL)
TOLD = re.compile(r'<details class="told">')


def said(cell: NotebookNode, answered: str = "") -> str:
    """What is to be seen in a cell: of words, what is not folded; of code, itself and its outputs. A question's own
    choices are left out. answered: what is said once that question is answered."""
    if cell.cell_type == "markdown":
        return FOLDED.sub("", TOLD.sub("", cell.source) if answered else cell.source)
    outputs = []
    for output in cell.outputs:
        data = output.get("data", {})
        alt = output.get("metadata", {}).get("image/png", {}).get("alt", "")
        outputs += [output.get("text", ""), data.get("text/plain", ""), alt]
    return "" if asked(cell) else "\n".join([cell.source, *outputs])


def test_every_prediction_is_asked_once_and_its_answer_is_known():
    found = [name for book in BOOKS.values() for name, _, _ in veiled(book.cells)]
    assert sorted(found) == sorted(PREDICTIONS.names()) == sorted([*ANSWERS, *ALONE]) and len(found) >= 40
    for cells in (book.cells for book in BOOKS.values()):
        assert not [name for name, after, _ in veiled(cells) if name in ALONE and not all(map(asked, after))]


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_before_anything_runs_nothing_answers(stem):
    """The answers are not stored, and words that tell them are folded."""
    cells = BOOKS[stem].cells
    for name, after, end in veiled(cells):
        assert not [cell.id for cell in after if cell.get("outputs")], f"{name}: a stored output"
        if name in ALONE:
            continue
        upto = cells.index(end) if end else len(cells)
        for cell in cells[:upto]:
            assert not re.search(ANSWERS[name][1], said(cell)), f"{name} is answered in {cell.id}"
        if end:
            assert not re.search(ANSWERS[name][1], FOLDED.sub("", end.source[: heading(end)])), f"{name}: {end.id}"


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_words_are_folded_after_a_prediction_only(stem):
    """Elsewhere nothing would unfold them."""
    cells = BOOKS[stem].cells
    under = {cell.id for _, after, end in veiled(cells) for cell in [*after, *([end] if end else [])]}
    assert not [cell.id for cell in cells if TOLD.search(cell.source) and cell.id not in under]


def slow(stem: str) -> list:
    marks = {"01": [], "04": [pytest.mark.slow], "05": [pytest.mark.slow], "08": [pytest.mark.slow]}
    return [together(stem), *marks.get(stem[:2], [pytest.mark.long])]


@pytest.mark.parametrize("stem", [pytest.param(stem, marks=slow(stem)) for stem in NOTEBOOKS])
def test_run_the_first_answer_lies_under_the_veil(stem, tmp_path_factory):
    """It is there, and nothing that has run above the question says it."""
    cells = executed(stem, tmp_path_factory).book.cells
    for name, after, end in veiled(cells):
        if name in ALONE:
            continue
        where, answer = ANSWERS[name]
        (at,) = (k for k, cell in enumerate(cells) if asked(cell) == name)
        above = [cell.id for cell in cells[:at] if re.search(answer, said(cell))]
        assert not above, f"{name} is answered in {above}"
        (there,) = (cell for cell in [*after, end] if cell and cell.id == where)
        text = said(there, answered=name)
        assert re.search(answer, text[: text.index("\n#")] if there is end else text), f"{name}: {text[-500:]}"


def test_a_choice_of_an_earlier_session_is_kept_and_lifts_the_veil(monkeypatch, tmp_path):
    monkeypatch.setenv("RELVIT_PROGRESS", str(tmp_path / "mine.jsonl"))
    choices = ["16", "64", "65", "1024"]
    predict("01-tokens", choices).chosen = "64"
    predict("01-tokens", ["1", "65"])
    again = predict("01-tokens", choices)
    assert again.chosen == "64" and "(predicted: 64)" in again.in_words()
    assert len(journal.read()) == 1  # noted once
    assert predict("01-tokens", ["1", "65"]).chosen == ""  # it is no longer among the choices
    monkeypatch.setenv("RELVIT_PROGRESS", "off")
    assert predict("01-tokens", choices).chosen == ""
