"""Oldham's picture: the points, and that its slope tells no world from another."""

import numpy as np
import pytest
from counted_windows import of_counts, session, world_pairs

from nwbswitch.analysis.estimands.oldham import COLUMNS, oldham_points
from nwbswitch.schemas.worlds import World


def test_mean_and_change_of_each_neuron():
    own = session({"baseline": of_counts([[2, 1], [0, 0]]), "drug": of_counts([[4, 4], [1, 0]])})
    points = oldham_points([own])
    before, after = np.sqrt([3.375, 0.375]), np.sqrt([8.375, 1.375])
    assert tuple(points.columns) == COLUMNS
    np.testing.assert_allclose(points["mean"], (before + after) / 2)
    np.testing.assert_allclose(points["change"], after - before)


def test_without_both_windows_there_are_no_points():
    assert oldham_points([session({"baseline": of_counts([[1, 2]])})]).empty
    assert tuple(oldham_points([]).columns) == COLUMNS


@pytest.mark.parametrize("world", [World.NULL, World.RESHUFFLE])
def test_its_slope_is_no_estimate_of_anything(world):
    ((before, after),), _ = world_pairs(world, np.random.default_rng(0), animals=1, n_neurons=4000)
    points = oldham_points([session({"baseline": before, "drug": after})])
    assert abs(np.corrcoef(points["mean"], points["change"])[0, 1]) < 0.06
