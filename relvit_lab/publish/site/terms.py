"""The glossary's terms explain themselves on a page: the first time that each stands there, on hover, focus or tap."""

import html
import re
from collections.abc import Mapping
from pathlib import Path

from bs4 import BeautifulSoup, NavigableString

GLOSSARY = "docs/glossary.md"
ENTRY = re.compile(r"^\| \*\*(?P<terms>.+?)\*\* \| (?P<meaning>.+) \|$", re.MULTILINE)
# They mean something else in most sentences, or what the notebook itself is about to explain.
EVERYDAY = {"run", "share", "head", "task", "label", "target", "score", "key", "query", "value", "block", "patch",
            "token", "attention", "accuracy", "shortcut", "augmentation"}  # fmt: skip
NO_WORDS = ["a", "button", "code", "details", "h1", "h2", "h3", "h4", "h5", "h6", "math", "pre", "script", "style",
            "svg", "th"]  # fmt: skip


def meanings(glossary: str) -> dict[str, str]:
    """The text of docs/glossary.md -> the meaning of each term that a page marks, in lower case and without marks."""
    found = {}
    for entry in ENTRY.finditer(glossary):
        for term in re.sub(r" \([^)]*\)", "", entry["terms"]).split(", "):
            if term.lower() not in EVERYDAY:
                found[term.lower()] = re.sub(r"[*`]", "", entry["meaning"])
    return found


def glossary_meanings(project: Path) -> dict[str, str]:
    """Those of a project's glossary; none where it has none."""
    path = project / GLOSSARY
    return meanings(path.read_text(encoding="utf-8")) if path.is_file() else {}


class Terms:
    """Marks the terms of one page. meaning: of each, by its name in lower case."""

    def __init__(self, meaning: Mapping[str, str]):
        self.meaning = dict(meaning)
        self.marked: list[str] = []  # no term twice on a page
        names = sorted((re.escape(html.escape(name)) for name in meaning), key=len, reverse=True)
        self.pattern = re.compile(rf"(\(?)(?<![\w-])({'|'.join(names)})(s?)(?![\w-])([),.;:?]*)", re.IGNORECASE)

    def mark(self, source: str) -> str:
        """HTML with the first mention of each term as a button with its meaning; headings, links and code stay."""
        if not self.meaning:
            return source
        soup, before = BeautifulSoup(source, "html.parser"), len(self.marked)
        for text in soup.find_all(string=self.pattern):
            if type(text) is NavigableString and not text.find_parent(NO_WORDS):
                marked = self.pattern.sub(self._button, html.escape(text, quote=False))
                text.replace_with(BeautifulSoup(marked, "html.parser"))
        return str(soup) if len(self.marked) > before else source

    def _button(self, found: re.Match) -> str:
        opening, word, plural, closing = found.groups()
        name = html.unescape(word).lower()
        if name in self.marked:
            return found[0]
        self.marked.append(name)
        place = f"term-{len(self.marked)}"
        marked = (
            f'<button type="button" class="term" aria-describedby="{place}">{word}{plural}</button>'
            f'<span role="tooltip" id="{place}"><b>{html.escape(name)}</b> {html.escape(self.meaning[name])}</span>'
        )
        if not opening + closing:
            return marked
        return f'<span class="kept">{opening}{marked}{closing}</span>'  # browsers break lines beside a button, else not
