"""nbconvert's exporter with the site's filters: MathML, pictures within the page, widgets that its script draws."""

import base64
import html
import struct
from collections.abc import Container, Iterator, Mapping
from pathlib import Path

from jinja2 import pass_context
from nbconvert import HTMLExporter
from nbformat import NotebookNode

from relvit_lab.common.errors import RelvitError
from relvit_lab.publish.site.execute import VIEW
from relvit_lab.publish.site.markdown import PageMarkdown
from relvit_lab.show.still import STILL

CELLS = Path(__file__).with_name("cells.html.j2")
PRINT = "print"  # a cell's tag: it stands on paper for an explorer, and is seen in print alone
SHOWN = (VIEW, "text/html", "image/svg+xml", "image/png", "image/jpeg", "text/markdown", "text/plain")


class CellsExporter(HTMLExporter):
    """Cells and outputs as HTML, without the frame of a page.

    models: the ids of the widgets that the page draws; another one leaves its text, and a word why. meanings: of the
    terms that explain themselves. page: after an export, with the headings that it has. Raises RelvitError, with the
    cell's id, for what can't be converted.
    """

    def __init__(self, models: Container[str] = (), meanings: Mapping[str, str] | None = None, **options: object):
        super().__init__(template_file=str(CELLS), **options)
        self.page, self.models = PageMarkdown(meanings), models
        self.environment.globals.update(view=VIEW, still=STILL)

    @property
    def default_config(self):
        config = super().default_config.copy()
        config.NbConvertBase.display_data_priority = list(SHOWN)
        return config

    def default_filters(self) -> Iterator[tuple]:
        yield from super().default_filters()
        yield from (("picture", picture), ("widget", self.widget), ("paper", on_paper))

    @pass_context
    def markdown2html(self, context, source: str) -> str:
        cell = context["cell"]
        try:
            return self.page.to_html(source, cell.get("attachments"))
        except RelvitError as error:
            raise RelvitError(f"cell '{cell.id}': {error}") from None

    def widget(self, data: NotebookNode) -> str:
        """A widget's place. What it holds is seen until it is drawn, or where no script runs."""
        model = data[VIEW]["model_id"]
        inside = data.get("text/html") or f'<pre class="text">{html.escape(data.get("text/plain", ""))}</pre>'
        if model in self.models:
            return f'<div class="widget" data-model="{html.escape(model)}">{inside}</div>'
        return f'<div class="no-widget">{inside}<p>This control needs a running notebook.</p></div>'


def on_paper(cell: NotebookNode) -> str:
    """A class for what stands on paper for an explorer."""
    return " in-print" if PRINT in cell.metadata.get("tags", []) else ""


def picture(output: NotebookNode, kind: str) -> str:
    """A picture of an output, within the page. kind: its type, such as image/png."""
    data, size = output.data[kind], ""
    data = base64.b64encode(data.encode()).decode() if kind == "image/svg+xml" else data.replace("\n", "")
    if kind == "image/png":
        width, height = png_size(base64.b64decode(data[:64]))
        size = f' width="{width}" height="{height}"'  # the page does not jump when it is decoded
    return f'<img src="data:{kind};base64,{html.escape(data)}" alt="{html.escape(picture_alt(output))}"{size}>'


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
