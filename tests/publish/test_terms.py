"""Terms of the glossary on a page: each explains itself once, and nothing else of the page changes."""

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from relvit_lab.publish.site.markdown import PageMarkdown
from relvit_lab.publish.site.terms import Terms, glossary_meanings, meanings

ROOT = Path(__file__).parents[2]
OURS = glossary_meanings(ROOT)
MEANING = {"floor": "What the best constant answer scores.", "told apart": "Leaves out 0 & more.", "k-nn": "A <vote>."}
BUTTON = re.compile(r'<button aria-describedby="(term-\d+)" class="term" type="button">(.*?)</button>'
                    r'<span id="\1" role="tooltip">.*?</span>')  # fmt: skip


KEPT = re.compile(r'<span class="kept">(.*?)</span>', re.DOTALL)


def plain(source: str) -> str:
    return KEPT.sub(r"\1", BUTTON.sub(r"\2", source))


def test_the_glossary_of_the_project_has_the_words_that_pages_use_without_explaining():
    assert {"floor", "skill", "told apart", "stage", "recipe", "sprel", "k-nn", "linear probe"} <= OURS.keys()
    assert not {"run", "head", "token"} & OURS.keys()  # they stand in every other sentence
    assert meanings("no table") == {}


def test_each_term_is_marked_once_and_its_meaning_is_escaped():
    terms = Terms(MEANING)
    first = terms.mark("<p>A floor, two Floors, and k-NN are told apart.</p>")
    assert BUTTON.findall(first) == [("term-1", "floor"), ("term-2", "k-NN"), ("term-3", "told apart")]
    assert "A &lt;vote&gt;." in first and "Leaves out 0 &amp; more." in first
    assert terms.mark("<p>The floor again</p>") == "<p>The floor again</p>"
    assert Terms(MEANING).mark("<p>floors</p>").count("floors</button>") == 1


def test_marks_beside_a_term_stay_on_its_line():
    marked = Terms(MEANING).mark("<p>well (k-NN), a floor. Told apart</p>")
    assert [plain(kept) for kept in re.findall(r'<span class="kept">.*?</span>[),.]+</span>', marked)] == [
        "(k-NN),", "floor."
    ]  # fmt: skip
    assert plain(marked) == "<p>well (k-NN), a floor. Told apart</p>"


@pytest.mark.parametrize(
    "source",
    [
        "<h2>The floor</h2>", '<p><a href="#floor">floor</a></p>', "<pre><code>floor = 0</code></pre>", "<p>a < b</p>",
        "<code>floor</code>", "<p>floored, no-floor, floor-like</p>", "<math><mi>floor</mi></math>", "",
        "<details><summary>floor</summary>floor</details>", "<script>floor</script>",
        '<img alt="floor">',
    ],
)  # fmt: skip
def test_headings_links_code_and_parts_of_words_stay_as_they_are(source):
    assert Terms(MEANING).mark(source) == source


def test_a_page_without_a_glossary_is_what_it_was():
    assert Terms({}).mark("<p>a floor") == "<p>a floor"


class _Text(HTMLParser):
    def __init__(self):
        super().__init__()
        self.said = []

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def text(source: str) -> str:
    parser = _Text()
    parser.feed(source)
    return "".join(parser.said)


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem[:2])
def test_but_for_the_marks_a_notebook_reads_as_without(path):
    import nbformat

    with_terms, without = PageMarkdown(OURS), PageMarkdown()
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            attachments = cell.get("attachments")
            marked, bare = with_terms.to_html(cell.source, attachments), without.to_html(cell.source, attachments)
            assert text(plain(marked)).split() == text(bare).split()
            assert re.findall(r"<\w+", plain(marked)) == re.findall(r"<\w+", bare)
    assert len(with_terms.terms.marked) == len(set(with_terms.terms.marked)) >= 3
