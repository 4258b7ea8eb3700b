"""A code cell and what it put out, as HTML. Pictures are in the page itself."""

import base64
import html
import struct
from collections.abc import Container

from nbconvert.filters.ansi import ansi2html
from nbformat import NotebookNode
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from relvit_lab.publish.site.execute import VIEW
from relvit_lab.publish.site.markdown import PageMarkdown
from relvit_lab.show.still import STILL

LIGHT = "friendly"  # the name of Pygments' colours


def code_style() -> str:
    """The style of highlighted code."""
    return HtmlFormatter(style=LIGHT).get_style_defs(".highlight")


def code_html(source: str) -> str:
    return highlight(source, get_lexer_by_name("ipython3"), HtmlFormatter())


def output_html(output: NotebookNode, models: Container[str], markdown: PageMarkdown) -> str:
    """One output. models: the widgets that the page draws; another one leaves its text, and a word why."""
    if output.output_type == "stream":
        return f'<pre class="text {html.escape(output.name)}">{ansi2html(output.text)}</pre>'
    if output.output_type == "error":
        return f'<pre class="text stderr">{ansi2html(chr(10).join(output.traceback))}</pre>'
    data = output.data
    if output.get("metadata", {}).get(STILL):  # the page's own widget, before this output, has it too
        return ""
    if VIEW in data:
        model = data[VIEW]["model_id"]
        if model in models:
            return f'<div class="widget" data-model="{html.escape(model)}">{_fallback(data)}</div>'
        return f'<div class="no-widget">{_fallback(data)}<p>This control needs a running notebook.</p></div>'
    if "text/html" in data:
        return f'<div class="wide">{data["text/html"]}</div>'
    if "image/svg+xml" in data:
        return _image("image/svg+xml", base64.b64encode(data["image/svg+xml"].encode()).decode(), output)
    for kind in ("image/png", "image/jpeg"):
        if kind in data:
            return _image(kind, data[kind].replace("\n", ""), output)
    if "text/markdown" in data:
        return markdown.to_html(data["text/markdown"])
    return f'<pre class="text">{ansi2html(data.get("text/plain", ""))}</pre>'


def picture_alt(output: NotebookNode) -> str:
    """What a picture shows: as its drawing says, else its text, unless that is a mere <Figure ...>."""
    for kind in ("image/png", "image/jpeg", "image/svg+xml"):
        if alt := output.get("metadata", {}).get(kind, {}).get("alt"):
            return alt
    text = output.data.get("text/plain", "")
    return "" if text.startswith("<") else text


def png_size(data: bytes) -> tuple[int, int]:
    """(width, height) of a PNG file in pixels."""
    return struct.unpack(">II", data[16:24])


def _image(kind: str, data: str, output: NotebookNode) -> str:
    size = ""
    if kind == "image/png":
        width, height = png_size(base64.b64decode(data[:64]))
        size = f' width="{width}" height="{height}"'  # the page does not jump when it is decoded
    return f'<img src="data:{kind};base64,{html.escape(data)}" alt="{html.escape(picture_alt(output))}"{size}>'


def _fallback(data: dict) -> str:
    """What is seen until a widget is drawn, or where no script runs."""
    if "text/html" in data:
        return data["text/html"]
    return f'<pre class="text">{html.escape(data.get("text/plain", ""))}</pre>'
