"""The widgets of a page: their saved state, and the script that draws them without a kernel (shim.js)."""

import json
from pathlib import Path

from nbformat import NotebookNode

from relvit_lab.show.in_page.pack import module_style, module_text, offered_images

STATE = "application/vnd.jupyter.widget-state+json"
SHIM = Path(__file__).with_name("shim.js")
OWN = ("_model_", "_view_", "_esm", "_css", "_anywidget_id", "_dom_classes")
"""How traits begin that are not the widget's data; its module goes into a page once, however many widgets it draws, and
so does what computes, with each trained model (the trait in_page, where it holds something)."""


def live_models(book: NotebookNode) -> dict[str, dict]:
    """The saved models of an executed notebook that draw themselves: those of anywidget, by id."""
    saved = book.metadata.get("widgets", {}).get(STATE, {}).get("state", {})
    return {name: model for name, model in saved.items() if "_esm" in model["state"]}


def widgets_html(models: dict[str, dict]) -> str:
    """The end of a page: all data of these models, and the script. Nothing where there are none."""
    if not models:
        return ""
    modules: list[str] = []  # each text once
    styles: list[str] = []
    computed: list[dict] = []  # each model once
    kept, computes = {}, False
    for name, model in models.items():
        state = model["state"]
        data = {key: value for key, value in state.items() if not key.startswith(OWN)}
        if data.get("in_page"):
            data["in_page"] = [_index(computed, one) for one in data["in_page"]["models"]]
            computes = True
        kept[name] = {
            "state": data,
            "buffers": [{"path": b["path"], "data": b["data"].replace("\n", "")} for b in model.get("buffers", [])],
            "module": _index(modules, state["_esm"]),
            "style": _index(styles, state.get("_css") or ""),
        }
    shared = {}
    if computes:
        styles.append(module_style())
        datasets = {"photographs", *(one["dataset"] for one in computed)}
        shared["in_page"] = {"module": module_text(), "models": computed, "images": offered_images(datasets)}
    data = json.dumps({"modules": modules, "styles": styles, "models": kept, **shared}, ensure_ascii=False)
    data = data.replace("<", "\\u003c")  # so that no text in it ends the element
    return (
        f'<script type="application/json" id="widget-data">{data}</script>\n'
        f'<script type="module">\n{SHIM.read_text(encoding="utf-8")}</script>'
    )


def _index(things: list, thing: object) -> int:
    if thing not in things:
        things.append(thing)
    return things.index(thing)
