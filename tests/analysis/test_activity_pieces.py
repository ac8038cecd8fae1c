"""What is read and worked on at a time: a matter of windows and recipe, and of nothing else."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from activity_cases import spans

from nwbswitch.analysis.activity.blocks import blocks_of, frames_of
from nwbswitch.analysis.activity.pieces import pieces_of, plan_of
from nwbswitch.analysis.activity.recipe import Recipe
from nwbswitch.schemas.epochs import Window

RECIPE = Recipe(margin_s=60.0)


def _times(windows, begin_s=0.0, end_s=10_000.0, recipe=RECIPE):
    return [
        (each.start_s, each.core_start_s, each.core_stop_s, each.stop_s)
        for each in pieces_of(windows, begin_s, end_s, recipe)
    ]


def test_a_window_is_read_with_its_margin():
    assert _times(spans(("baseline", 600.0, 1200.0))) == [(540, 540, 1260, 1260)]


def test_margins_end_with_the_recording():
    assert _times(spans(("baseline", 20.0, 100.0)), end_s=130.0) == [(0, 0, 130, 130)]
    assert _times(spans(("baseline", -50.0, 5000.0)), 10.0, 500.0) == [(10, 10, 500, 500)]


def test_windows_whose_margins_meet_are_read_together_and_others_apart():
    near = _times(spans(("baseline", 100.0, 300.0), ("drug", 420.0, 500.0)))
    assert near == [(40, 40, 560, 560)]
    apart = _times(spans(("drug", 421.0, 500.0), ("baseline", 100.0, 300.0)))
    assert apart == [(40, 40, 360, 360), (361, 361, 560, 560)]


def test_windows_inside_others_change_nothing():
    alone = spans(("baseline", 600.0, 1200.0))
    inside = [*alone, *spans(("pseudo_baseline", 600.0, 900.0), ("pseudo_drug", 900.0, 1200.0))]
    assert _times(inside) == _times(alone)


@pytest.mark.parametrize("length_s", [779.0, 781.0, 2000.0, 36_000.0])
def test_long_windows_are_cut_into_equal_cores_that_see_beyond_their_borders(length_s):
    pieces = pieces_of(spans(("baseline", 100.0, 100.0 + length_s)), 0.0, 50_000.0, RECIPE)
    assert pieces[0].core_start_s == 40
    assert pieces[-1].core_stop_s == 160 + length_s
    lengths = [each.core_stop_s - each.core_start_s for each in pieces]
    assert np.ptp(lengths) < 1e-6
    assert RECIPE.piece_s / 2 < lengths[0] <= RECIPE.piece_s
    for left, right in pairwise(pieces):
        assert left.core_stop_s == right.core_start_s
        assert left.stop_s == min(left.core_stop_s + RECIPE.margin_s, 160 + length_s)
        assert right.start_s == right.core_start_s - RECIPE.margin_s


def test_windows_outside_the_recording_are_not_read():
    assert _times(spans(("baseline", 0.0, 100.0), ("drug", 200.0, 300.0)), end_s=150.0) == [(0, 0, 150, 150)]
    assert _times(spans(("baseline", 200.0, 300.0)), end_s=150.0) == []


def test_stretches_between_windows_are_not_read():
    recipe = Recipe(margin_s=60.0, piece_s=100.0)
    windows = spans(("baseline", 60.0, 70.0), ("drug", 180.0, 190.0))
    assert all(each.holds(windows) for each in pieces_of(windows, 0.0, 1000.0, recipe))


def test_the_noise_is_told_by_the_baseline_or_else_by_the_pseudo_baseline():
    both = spans(("pseudo_baseline", 0.0, 60.0), ("baseline", 100.0, 160.0), ("baseline", 400.0, 460.0))
    assert [span.start_s for span in plan_of(both, 0.0, 500.0, RECIPE).baseline] == [100, 400]
    assert plan_of(both, 0.0, 90.0, RECIPE).baseline[0].window is Window.PSEUDO_BASELINE
    assert plan_of(spans(("drug", 0.0, 60.0)), 0.0, 500.0, RECIPE).baseline == ()


def test_blocks_count_from_the_start_of_their_window_and_on_over_its_parts():
    blocks = blocks_of(spans(("baseline", 2.0, 9.0), ("drug", 3.0, 6.0), ("baseline", 20.0, 23.0)), 3.0)
    found = [(block.window.value, block.number, block.start_s, block.stop_s) for block in blocks]
    assert found == [
        ("baseline", 0, 2, 5),
        ("baseline", 1, 5, 8),
        ("baseline", 2, 8, 9),
        ("drug", 0, 3, 6),
        ("baseline", 3, 20, 23),
    ]


def test_frames_on_an_edge_belong_after_it_in_spite_of_rounding():
    time_s = np.arange(10_200) / 7.3
    for block_s in (30.0, 7.0, 0.7):
        blocks = blocks_of(spans(("baseline", 0.0, 1390.0)), block_s)
        frames = [frames_of(time_s, block.start_s, block.stop_s) for block in blocks]
        assert frames[0].start == 0
        assert all(left.stop == right.start for left, right in pairwise(frames))
        for index in (1, len(blocks) - 2):
            assert time_s[frames[index].start] >= index * block_s - 1e-5
            assert time_s[frames[index].start - 1] < index * block_s


def test_a_window_that_is_a_whole_number_of_blocks_long_has_no_empty_one():
    assert len(blocks_of(spans(("baseline", 0.1, 0.1 + 21 * 0.7)), 0.7)) == 21
