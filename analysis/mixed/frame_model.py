"""What a model frame is about, without its rows."""

from __future__ import annotations

from dataclasses import replace

from nwbswitch.analysis.mixed.design_guard import missing_slopes, row_variation
from nwbswitch.analysis.mixed.model import BlockFacts, LevelFacts, Model, VariableFacts
from nwbswitch.analysis.mixed.model_frame import ModelFrame
from nwbswitch.analysis.trees.tree import Tree


def model_of(frame: ModelFrame, tree: Tree | None = None) -> Model:
    """Return what a model frame is about, with groups in the order of its tree if there is one."""
    levels = []
    for position, level in enumerate(frame.levels):
        labels = level.labels
        if tree is not None:
            labels = tuple(labels[place] for place in tree.groups_order[position].tolist())
        blocks = tuple(BlockFacts(each.group, each.label, each.names, each.terms) for each in level.blocks)
        levels.append(LevelFacts(level.names, level.n_groups, labels, blocks))
    effects = {name: frame.variables[name] for term in frame.fixed.terms for name in term}
    model = Model(
        formula=frame.formula,
        names=frame.fixed.names,
        terms=frame.fixed.terms,
        term_of=frame.fixed.term_of,
        contrasts=frame.contrasts,
        variables={
            name: VariableFacts(name, each.levels)
            if each.numbers is None
            else VariableFacts(
                name, None, float(each.numbers.mean()), float(each.numbers.min()), float(each.numbers.max())
            )
            for name, each in effects.items()
        },
        levels=tuple(levels),
        n_rows=frame.n_rows,
        n_missing=frame.n_missing,
        n_excluded=frame.n_excluded,
    )
    variation = row_variation([level.codes for level in frame.levels], effects)
    return replace(model, warnings=missing_slopes(model, variation))
