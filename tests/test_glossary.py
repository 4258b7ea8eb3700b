"""docs/glossary.md: the course on a page names every notebook once, and every word once, in order, in one sentence."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
WORDS = dict(re.findall(r"^\| \*\*(.+?)\*\* \| (.+) \|$", TEXT, re.MULTILINE))


def test_the_course_has_each_notebook_once_with_its_mark():
    rows = re.findall(r"^\| (core|optional|project)[ \d]*\| (\d\d) ", TEXT, re.MULTILINE)
    numbers = [number for _, number in rows]
    assert len(set(numbers)) == len(numbers) and set(numbers) >= {
        path.name[:2] for path in (ROOT / "notebooks").glob("[0-9]*.ipynb")
    }
    readme = dict(re.findall(r"^\| \[(\d\d)_[^|]*\| (\w+) \|", (ROOT / "README.md").read_text(), re.MULTILINE))
    assert {number: mark for mark, number in rows if number in readme} == readme


def test_words_stand_in_order_and_are_explained_in_a_sentence_or_two():
    names = list(WORDS)
    assert len(names) > 30 and names == sorted(names, key=str.lower)
    assert all(meaning[0].isupper() and meaning.endswith(".") and len(meaning) < 130 for meaning in WORDS.values())


@pytest.mark.parametrize(
    "word", ["token", "attention", "softmax", "floor", "skill", "told apart", "run, stage", "recipe", "shortcut"]
)
def test_what_the_notebooks_use_without_a_word_is_there(word):
    assert word in WORDS
