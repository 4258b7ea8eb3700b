"""Run in a notebook's kernel while a page is made of it: widgets take along what they would else ask the kernel for."""

from collections.abc import Iterable


def carry(model_ids: Iterable[str]) -> None:
    """Call carry() of each of these widgets that has one. It fills traits of the widget for a page without a kernel."""
    from ipywidgets.widgets import widget  # late: whoever calls this has it already

    for name in model_ids:
        shown = widget._instances.get(name)
        if hasattr(shown, "carry"):
            shown.carry()
