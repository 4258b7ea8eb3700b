"""What a widget leaves where it is not alive: in a notebook opened again, in nbconvert's pages, on paper.

JupyterLab draws a widget's own output by its model alone, and says "model not found" once the kernel is gone. So a
still follows as an output of its own: a picture and words, which a style that comes with the living widget hides.
"""

import html
import io
from pathlib import Path

import anywidget

from relvit_lab.show.style import VERMILLION, Drawing

LIFE = "Run All brings it to life."
STILL = "relvit_still"  # in the metadata of that output
PAPER = "background: var(--jp-layout-color0, #fff); color: var(--jp-content-font-color1, #222222)"
FAINTER = "var(--jp-content-font-color2, #555)"
"""JupyterLab's colours, light or dark; elsewhere ink on white."""
CONTROLS = f"""
.relvit-controls {{ {PAPER}; font: 14px/1.4 system-ui, sans-serif; padding: 8px; box-sizing: border-box }}
.relvit-controls .bar {{ display: flex; flex-wrap: wrap; gap: 4px 16px; align-items: center; margin-bottom: 6px }}
.relvit-controls fieldset {{ border: 0; margin: 0; padding: 0; min-width: 0; display: flex; flex-wrap: wrap;
  gap: 2px 10px; align-items: center }}
.relvit-controls legend {{ float: left; padding: 0; margin-right: 8px; font-weight: 600 }}
.relvit-controls label {{ display: inline-flex; gap: 4px; align-items: center; cursor: pointer }}
.relvit-controls button, .relvit-controls select {{ font: inherit; padding: 2px 8px; cursor: pointer }}
.relvit-controls input[type="number"] {{ font: inherit; width: 3em }}
.relvit-controls input[type="range"] {{ width: 90px }}
.relvit-controls figcaption {{ flex: 1; font-size: 13px; margin-bottom: 2px }}
.relvit-controls figcaption b {{ display: block; font-size: 14px }}
.relvit-controls figure canvas {{ width: 100%; aspect-ratio: 1; cursor: crosshair; touch-action: pan-y }}
.relvit-controls .help {{ color: {FAINTER}; font-size: 12.5px; margin-top: 4px }}
.relvit-controls :focus-visible {{ outline: 3px solid {VERMILLION}; outline-offset: 2px }}
"""
"""What has the class: a bar of controls, and the captions of its pictures."""

HIDE = """
.jp-OutputArea-child:has(.relvit-live) + .jp-OutputArea-child:has(.relvit-still) { display: none }
"""
ONCE = (  # where a page shows the widget's own output as HTML, as nbconvert does without saved state
    "<style>.jp-OutputArea-child:has(.relvit-still) + .jp-OutputArea-child:has(.relvit-still) { display: none }</style>"
)


def script(file: str, *names: str) -> str:
    """JavaScript files, one after the other, as one module behind canvas.js. file: the Python file that the names are
    seen from."""
    files = (Path(__file__).parent / "in_page" / "canvas.js", *(Path(file).parent / name for name in names))
    return "".join(path.read_text(encoding="utf-8") for path in files)


class Widget(anywidget.AnyWidget):
    """Base of all widgets here. A subclass gives `in_words` and, where a picture says more, `still_picture`; one with
    a style of its own has `_css = HIDE + CSS`."""

    _css = HIDE

    def __init__(self, **traits: object):
        super().__init__(_dom_classes=("relvit-live",), **traits)

    def in_words(self) -> str:
        """What is shown, as text."""
        raise NotImplementedError

    def still_picture(self) -> Drawing | None:
        """What is shown, drawn."""
        return None

    def still_html(self) -> str:
        """Picture, in fewer colours to keep it small, and words; without a script or a style, which an untrusted
        notebook would lose."""
        said = "<br>".join(map(html.escape, self.in_words().splitlines()))
        try:
            drawing = self.still_picture()
            picture = "" if drawing is None else drawing.as_html(in_fewer_colours(drawing.png()))
        except Exception as error:  # a picture never ends a cell
            picture = f"<p>(It cannot be drawn here: {html.escape(str(error))})</p>"
        return f'<div class="relvit-still">{picture}<p>{said}<br><em>{LIFE}</em></p></div>'

    def _repr_mimebundle_(self, **kwargs: object) -> object:
        """The widget and, for places that have no browser or no script, words and the still."""
        bundle = super()._repr_mimebundle_(**kwargs)
        data = bundle[0] if isinstance(bundle, tuple) else bundle
        if data is not None:
            data["text/plain"] = f"{self.in_words()}\n{LIFE}"
            data["text/html"] = ONCE + self.still_html()
        return bundle

    def _ipython_display_(self) -> None:
        from IPython.display import display

        bundle = self._repr_mimebundle_()
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        display(data, raw=True, metadata=metadata)
        if "text/html" in data:
            still = {"text/html": data["text/html"].removeprefix(ONCE), "text/plain": LIFE}
            display(still, raw=True, metadata={STILL: True})


def in_fewer_colours(png: bytes, width: int | None = None) -> bytes:
    """A PNG of 128 colours. width: to which a wider one is brought, in pixels."""
    from PIL import Image

    image, data = Image.open(io.BytesIO(png)).convert("RGB"), io.BytesIO()
    if width and image.width > width:
        image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
    image.quantize(128).save(data, "PNG", optimize=True)
    return data.getvalue()
