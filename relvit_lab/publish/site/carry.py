"""Run in a notebook's kernel while a page is made of it: widgets take along what they would else ask the kernel for."""

from collections.abc import Iterable


def carry(model_ids: Iterable[str]) -> None:
    """Call carry() and carry_models() of each of these widgets, where it has them. They fill traits of the widget for a
    page without a kernel."""
    from ipywidgets.widgets import widget  # late: whoever calls this has it already

    for name in model_ids:
        shown = widget._instances.get(name)
        for method in ("carry", "carry_models"):
            if hasattr(shown, method):
                getattr(shown, method)()
