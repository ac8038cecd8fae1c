"""From a model frame with any groups to its model and the engine for crossed groups."""

from __future__ import annotations

from dataclasses import replace

from nwbswitch.analysis.mixed.design_guard import missing_slopes, row_variation
from nwbswitch.analysis.mixed.model import BlockFacts, LevelFacts, Model, VariableFacts
from nwbswitch.analysis.mixed.model_frame import ModelFrame
from nwbswitch.analysis.mixed.sparse_design import largest_level, rows_of
from nwbswitch.analysis.mixed.sparse_deviance import SparseDeviance, deviance_of


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
    return _model(frame), deviance_of(rows, scaling, largest_level(rows.levels))


def _model(frame: ModelFrame) -> Model:
    levels = tuple(
        LevelFacts(
            level.names,
            level.n_groups,
            level.labels,
            tuple(BlockFacts(each.group, each.label, each.names, each.terms) for each in level.blocks),
        )
        for level in frame.levels
    )
    variables = {
        name: VariableFacts(name, each.levels)
        if each.numbers is None
        else VariableFacts(
            name, None, float(each.numbers.mean()), float(each.numbers.min()), float(each.numbers.max())
        )
        for name, each in frame.variables.items()
    }
    model = Model(
        formula=frame.formula,
        names=frame.fixed.names,
        terms=frame.fixed.terms,
        term_of=frame.fixed.term_of,
        contrasts=frame.contrasts,
        variables=variables,
        levels=levels,
        n_rows=frame.n_rows,
        n_missing=frame.n_missing,
        n_excluded=frame.n_excluded,
    )
    effects = {name: frame.variables[name] for term in frame.fixed.terms for name in term}
    variation = row_variation([level.codes for level in frame.levels], effects)
    return replace(model, warnings=missing_slopes(model, variation))
