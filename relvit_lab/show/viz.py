"""Pictures as pure functions: data in, a matplotlib Figure out (`Drawing`, which has an alt text). A subject a file."""

from relvit_lab.show.curves import curves
from relvit_lab.show.relations import field_predicted, positions_predicted, predictions_grid, relations_predicted
from relvit_lab.show.style import Drawing

__all__ = ["Drawing", "curves", "field_predicted", "positions_predicted", "predictions_grid", "relations_predicted"]
