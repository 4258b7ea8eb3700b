"""The glossary's terms explain themselves on a page: the first time that each stands there, on hover, focus or tap."""

import html
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path

GLOSSARY = "docs/glossary.md"
ENTRY = re.compile(r"^\| \*\*(?P<terms>.+?)\*\* \| (?P<meaning>.+) \|$", re.MULTILINE)
# They mean something else in most sentences, or what the notebook itself is about to explain.
EVERYDAY = {"run", "share", "head", "task", "label", "target", "score", "key", "query", "value", "block", "patch",
            "token", "attention", "accuracy", "shortcut", "augmentation"}  # fmt: skip
NO_WORDS = {"a", "button", "code", "details", "h1", "h2", "h3", "h4", "h5", "h6", "math", "pre", "script", "style",
            "svg", "th"}  # fmt: skip
EMPTY = {"area", "br", "col", "hr", "img", "input", "wbr"}


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
        self.pattern = re.compile(rf"(?<![\w-])({'|'.join(names)})(s?)(?![\w-])", re.IGNORECASE)

    def mark(self, source: str) -> str:
        """HTML with the first mention of each term as a button with its meaning; headings, links and code stay."""
        if not self.meaning:
            return source
        marker = _Marker(self)
        marker.feed(source)
        marker.close()
        return "".join(marker.parts)

    def in_text(self, text: str) -> str:
        """The same for escaped text without tags."""
        return self.pattern.sub(self._button, text)

    def _button(self, found: re.Match) -> str:
        name = html.unescape(found[1]).lower()
        if name in self.marked:
            return found[0]
        self.marked.append(name)
        place = f"term-{len(self.marked)}"
        return (
            f'<button type="button" class="term" aria-describedby="{place}">{found[0]}</button>'
            f'<span role="tooltip" id="{place}"><b>{html.escape(name)}</b> {html.escape(self.meaning[name])}</span>'
        )


class _Marker(HTMLParser):
    """Hands on what it reads, with terms marked in the text that stands in no element of NO_WORDS."""

    def __init__(self, terms: Terms):
        super().__init__(convert_charrefs=False)
        self.terms, self.parts, self.inside = terms, [], []

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.parts.append(self.get_starttag_text() or "")
        if tag not in EMPTY:
            self.inside.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.parts.append(self.get_starttag_text() or "")

    def handle_endtag(self, tag: str) -> None:
        self.parts.append(f"</{tag}>")
        if tag in self.inside:
            while self.inside.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        self.parts.append(data if NO_WORDS.intersection(self.inside) else self.terms.in_text(data))

    def handle_entityref(self, name: str) -> None:
        self.parts.append(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.parts.append(f"&#{name};")

    def handle_comment(self, data: str) -> None:
        self.parts.append(f"<!--{data}-->")

    def handle_decl(self, decl: str) -> None:
        self.parts.append(f"<!{decl}>")
