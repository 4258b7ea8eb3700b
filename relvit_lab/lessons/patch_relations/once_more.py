"""Section 3, the same transformer once more: transformer.js, which computes in a page, beside the Python it mirrors."""

import html
import inspect
import re
from collections.abc import Callable, Iterable
from textwrap import dedent
from typing import NamedTuple

from relvit_lab.method.heads import PairScores, TokenScores
from relvit_lab.method.patches import patchify
from relvit_lab.show.in_page.pack import FOLDER

MODULE = "transformer.js"
COLUMNS = "display: grid; gap: 4px 20px; grid-template-columns: repeat(auto-fit, minmax(min(360px, 100%), 1fr))"
CODE = "margin: 2px 0; padding: 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 12px; line-height: 1.45"
COMMENTS = {"Python": r"#[^\n]*|\"\"\".*?\"\"\"", MODULE: r"/\*\*.*?\*/|//[^\n]*"}
KEYWORDS = r"\b(?:export|function|def|return|const|let|for|in|of|if)\b"


class Section(NamedTuple):
    """A part of the model. javascript: names in transformer.js. python: what it mirrors, functions or methods."""

    title: str
    javascript: tuple[str, ...]
    python: tuple[Callable, ...]


class OnceMore:
    """What `once_more` returns: the sections, folded, in HTML in a notebook; their names elsewhere."""

    def __init__(self, sections: tuple[Section, ...]):
        self.sections = sections

    def __repr__(self) -> str:
        lines = (f"{one.title}: {', '.join(one.javascript)}" for one in self.sections)
        return f"{MODULE} beside Python, section by section.\n" + "\n".join(lines)

    def _repr_html_(self) -> str:
        return "".join(
            f'<details><summary>{html.escape(one.title)}</summary><div style="{COLUMNS}">'
            f"{_column('Python', map(source, one.python))}{_column(MODULE, map(javascript, one.javascript))}"
            "</div></details>"
            for one in self.sections
        )


def once_more(by_hand: Callable, layer_norm: Callable, msa: Callable, mlp: Callable) -> OnceMore:
    """Notebook 01's functions, and the library's heads, each beside its part of transformer.js.

    by_hand, layer_norm, msa, mlp: as the notebook defines them, or one's own; their source is shown as it is now.
    """
    return OnceMore(
        (
            Section("From an image to its tokens: eq. 1-4", ("forward",), (by_hand,)),
            Section("Patches: §3", ("patches",), (patchify,)),
            Section("Layer normalisation", ("layerNorm",), (layer_norm,)),
            Section("Attention: eq. 2", ("msa", "softmax"), (msa,)),
            Section("MLP: eq. 3", ("mlp", "gelu"), (mlp,)),
            Section("Heads, the answers' scores: eq. 8, 9", ("HEADS",), (PairScores.forward, TokenScores.forward)),
        )
    )


def javascript(name: str) -> str:
    """A function of transformer.js, or a constant, with the comment before it. Raises KeyError where there is none."""
    text = (FOLDER / MODULE).read_text(encoding="utf-8")
    found = re.finditer(  # each ends with a brace at the line's beginning
        r"^(?:/\*\*(?:(?!\*/).)*\*/\n)?(?:export )?(?:function|const) (\w+)[^\n]*\{\n.*?^\};?$", text, re.M | re.S
    )
    return {one[1]: one[0] for one in found}[name]


def source(function: Callable) -> str:
    """A function's source, and its class where it has one. What Python cannot find is said, not raised."""
    try:
        text = dedent(inspect.getsource(function))
    except (OSError, TypeError):
        return f"# {getattr(function, '__name__', 'this function')}: its source is not at hand here"
    owner, _, _ = function.__qualname__.rpartition(".")
    return f"# of {owner}\n{text.rstrip()}" if owner else text.rstrip()


def _column(language: str, parts: Iterable[str]) -> str:
    lines = "".join(map(_line, _marked("\n\n".join(parts), COMMENTS[language]).split("\n")))
    return f'<div style="min-width: 0"><b style="font-size: 14px">{language}</b><pre style="{CODE}">{lines}</pre></div>'


def _line(line: str) -> str:
    """A line of HTML that goes on, where it is too long, two letters further in than it began."""
    begins = len(re.match(r"(?:<[^>]*>)?( *)", line)[1]) + 2
    style = f"display: block; min-height: 1.45em; padding-left: {begins}ch; text-indent: -{begins}ch"
    return f'<span style="{style}">{line}</span>'


def _marked(code: str, comments: str) -> str:
    """Code as HTML, line by line: comments in a quieter ink, words of the language in bold."""
    at, parts = 0, []
    for word in re.finditer(f"(?P<comment>{comments})|{KEYWORDS}", code, re.DOTALL):
        escaped = html.escape(word[0])
        quiet = "\n".join(f'<span style="opacity: .72">{line}</span>' for line in escaped.split("\n"))
        parts += [html.escape(code[at : word.start()]), quiet if word["comment"] else f"<b>{escaped}</b>"]
        at = word.end()
    return "".join(parts) + html.escape(code[at:])
