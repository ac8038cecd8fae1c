"""From a model frame with any groups to its model and the engine for crossed groups."""

from __future__ import annotations

from nwbswitch.analysis.mixed.frame_model import model_of
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.model_frame import ModelFrame
from nwbswitch.analysis.sparse.design import largest_level, rows_of
from nwbswitch.analysis.sparse.deviance import SparseDeviance, deviance_of


def sparse_deviance(frame: ModelFrame) -> tuple[Model, SparseDeviance]:
    """Return what a model frame is about, and its deviance function.

    Parameters
    ----------
    frame
        A model frame whose groups may be nested, crossed or partly crossed (``nested=False``).

    Raises
    ------
    FitError
        If the fixed effects reproduce the response, a random effect is zero in every row, or the crossed
        effects are too many to be factored.
    """
    rows, scaling = rows_of(frame)
    return model_of(frame), deviance_of(rows, scaling, largest_level(rows.levels))
