"""Markdown cells as HTML: as JupyterLab shows them, with equations as MathML, and a list of the headings."""

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from relvit_lab.common.errors import RelvitError
from relvit_lab.publish.site.equations import mathml
from relvit_lab.publish.site.terms import Terms


@dataclass(frozen=True)
class Heading:
    """level: 1 to 6. name: its id in the page. content: HTML."""

    level: int
    name: str
    content: str


class PageMarkdown:
    """Converts the markdown of one page. headings: of all that was converted, in order. meanings: of the terms that
    explain themselves (terms.py)."""

    def __init__(self, meanings: Mapping[str, str] | None = None):
        self.headings: list[Heading] = []
        self.terms = Terms(meanings or {})

    def to_html(self, source: str, attachments: dict | None = None) -> str:
        """A cell's source -> HTML. Raises RelvitError for an equation or a picture that can't be taken along."""
        renderer = _Renderer(self.headings, attachments=attachments or {}, escape=False)
        return self.terms.mark(MarkdownWithMath(renderer=renderer).render(source))


class _Renderer(IPythonRenderer):
    def __init__(self, headings: list[Heading], **options: object):
        super().__init__(**options)
        self.headings = headings

    def heading(self, text: str, level: int, **attributes: object) -> str:
        slug = re.sub(r"[^\w]+", "-", html.unescape(re.sub(r"<[^>]*>", "", text)).lower()).strip("-") or "section"
        taken = {heading.name for heading in self.headings}
        name = slug if slug not in taken else next(n for k in count(2) if (n := f"{slug}-{k}") not in taken)
        self.headings.append(Heading(level, name, text))
        return f'<h{level} id="{name}">{text}</h{level}>\n'

    def inline_math(self, body: str) -> str:
        return mathml(body)

    def block_math(self, body: str) -> str:
        return f'<span class="equation">{mathml(body, display=True)}</span>'

    def latex_environment(self, name: str, body: str) -> str:
        return self.block_math(f"\\begin{{{name}}}{body}\\end{{{name}}}")

    def table(self, text: str) -> str:
        return f'<div class="wide"><table>\n{text}</table></div>\n'

    def link(self, text: str, url: str, title: str | None = None) -> str:
        if re.fullmatch(r"[\w.-]+\.ipynb(#.*)?", url):  # another notebook is another page
            url = url.replace(".ipynb", ".html")
        return super().link(text, url, title)

    def image(self, text: str, url: str, title: str | None = None) -> str:
        if not url.startswith(("data:", "attachment:")):
            raise RelvitError(f"the picture {url} lies outside the notebook: attach it, or draw it in a cell")
        return super().image(text, url, title)
