"""Sums in sliding windows are those of two windows, and time zero, gaps and lost neurons are as stated."""

from dataclasses import replace

import numpy as np
import pytest
from counted_windows import of_counts, session

from nwbswitch.analysis.estimands.counts import DRUG, SessionCounts, WindowCounts, half_counts
from nwbswitch.analysis.estimands.course_sums import (
    LAYOUT,
    MAX_WINDOWS,
    Grid,
    after_blocks,
    course_sums,
    sliding_grid,
)
from nwbswitch.analysis.estimands.primary import contrast_sums
from nwbswitch.schemas.errors import TableError

NAIVE = slice(LAYOUT.size - 8, LAYOUT.size)


def _made(seed=0, n=31, blocks=20, start_s=1000.0, **more) -> SessionCounts:
    rng = np.random.default_rng(seed)
    rates = rng.gamma(0.8, 1.2, (n, 1))
    return session(
        {
            "baseline": of_counts(rng.poisson(rates, (n, 8)), exposure_s=rng.uniform(20, 30, (n, 8))),
            "drug": of_counts(
                rng.poisson(rates, (n, blocks)),
                exposure_s=rng.uniform(20, 30, (n, blocks)),
                start_s=start_s,
            ),
        },
        **more,
    )


def _part(own: SessionCounts, first: int, last: int) -> SessionCounts:
    """The session with a drug window of some of its blocks only."""
    window = own.windows["drug"]
    chosen = slice(first, last)
    part = WindowCounts(
        window.events[:, chosen],
        window.negative[:, chosen],
        window.exposure_s[:, chosen],
        window.half[chosen],
        window.start_s[chosen],
    )
    return replace(own, windows={**own.windows, "drug": part})


def _expected(own: SessionCounts) -> np.ndarray:
    before, after, _ = half_counts(own, DRUG)
    sums = contrast_sums(before, after, LAYOUT)
    sums[NAIVE] = 0
    return sums


def test_each_window_has_the_sums_of_the_two_windows_it_stands_for():
    own = _made()
    grid = sliding_grid(600.0, width_s=300.0, step_s=60.0)
    sums, present = course_sums(own, after_blocks(own, {}), grid)
    assert present.all()
    assert sums.shape == (6, LAYOUT.size)
    for place in range(6):
        np.testing.assert_allclose(sums[place], _expected(_part(own, 2 * place, 2 * place + 10)), atol=1e-9)


def test_a_neuron_without_exposure_leaves_that_window_before_and_after():
    own = _made()
    own.windows["drug"].exposure_s[4, :10] = 0
    own.windows["drug"].events[4, :10] = 0
    sums, _ = course_sums(own, after_blocks(own, {}), Grid(np.array([0.0, 300.0]), 300.0))
    chosen = np.arange(31) != 4
    part = _part(own, 0, 10)
    seen = replace(
        part,
        windows={
            name: replace(
                each,
                events=each.events[chosen],
                negative=each.negative[chosen],
                exposure_s=each.exposure_s[chosen],
            )
            for name, each in part.windows.items()
        },
    )
    np.testing.assert_allclose(LAYOUT.drive(sums[0]), LAYOUT.drive(_expected(seen)))
    np.testing.assert_allclose(LAYOUT.covariance(sums[0]), LAYOUT.covariance(_expected(seen)), atol=1e-12)
    np.testing.assert_allclose(sums[1], _expected(_part(own, 10, 20)), atol=1e-9)


def test_what_neurons_do_later_has_no_part_in_who_is_selected():
    own = _made()
    other = _made(seed=1)
    swapped = replace(own, windows={**own.windows, "drug": other.windows["drug"]})
    grid = Grid(np.array([0.0]), 600.0)
    before = [course_sums(each, after_blocks(each, {}), grid)[0][0] for each in (own, swapped)]
    for chosen in (LAYOUT.active, LAYOUT.silent):
        one, two = (chosen(sums)[0, :, 2:4] for sums in before)
        np.testing.assert_allclose(one, two)


def test_time_zero_is_the_administration_where_it_is_known():
    own = _made(start_s=1000.0)
    assert after_blocks(own, {}).start_s[0] == 0
    early = after_blocks(own, {("m1", "s1"): 700.0})
    assert early.start_s[0] == 300
    late = after_blocks(own, {("m1", "s1"): 1100.0})
    # The block around the administration has its middle after it.
    assert late.start_s[0] == -10
    assert late.start_s.size == 17
    assert after_blocks(own, {("m1", "s1"): 1e6}) is None


def test_everything_recorded_afterwards_is_joined_in_order_of_time():
    own = _made(blocks=6)
    late = _made(seed=2, blocks=4, start_s=3000.0).windows["drug"]
    joined = after_blocks(replace(own, windows={"recovery": late, **own.windows}), {})
    assert joined.start_s.tolist() == [0, 30, 60, 90, 120, 150, 2000, 2030, 2060, 2090]
    np.testing.assert_allclose(joined.events[:, 6:], late.events)
    sums, present = course_sums(
        replace(own, windows={"recovery": late, **own.windows}),
        joined,
        Grid(np.array([0.0, 60.0, 120.0, 1000.0, 1970.0]), 120.0),
    )
    # Half of a window has to be there: two blocks of 30 s at 120 s, none at 1000 s.
    assert present.tolist() == [True, True, True, False, True]
    assert not sums[3].any()


def test_without_a_drug_window_and_an_administration_there_is_no_time_zero():
    own = _made()
    recovered = replace(own, windows={"baseline": own.windows["baseline"], "recovery": own.windows["drug"]})
    assert after_blocks(recovered, {}) is None
    assert after_blocks(recovered, {("m1", "s1"): 900.0}).start_s[0] == 100
    alone = replace(own, windows={"baseline": own.windows["baseline"]})
    assert after_blocks(alone, {}) is None
    assert after_blocks(alone, {("m1", "s1"): 900.0}) is None


def test_without_a_baseline_nothing_is_present():
    own = _made()
    sums, present = course_sums(
        replace(own, windows={"drug": own.windows["drug"]}), after_blocks(own, {}), Grid(np.zeros(1), 300.0)
    )
    assert not present.any()
    assert not sums.any()


def test_a_window_with_one_half_only_is_not_present():
    own = _made()
    own.windows["drug"].exposure_s[:, ::2] = 0
    _, present = course_sums(own, after_blocks(own, {}), Grid(np.zeros(1), 300.0))
    assert not present.any()


def test_neurons_that_are_all_alike_have_no_covariance():
    quiet = session({name: of_counts(np.full((9, 8), 1.0)) for name in ("baseline", "drug")})
    sums, present = course_sums(quiet, after_blocks(quiet, {}), Grid(np.zeros(1), 240.0))
    assert present.all()
    assert not LAYOUT.covariance(sums).any()


def test_starts_that_are_not_known_or_not_finite_are_refused():
    own = _made()
    nowhere = replace(own, windows={**own.windows, "drug": replace(own.windows["drug"], start_s=None)})
    with pytest.raises(ValueError, match="animal m1, session s1, window drug: the starts"):
        after_blocks(nowhere, {})
    own.windows["drug"].start_s[3] = np.inf
    with pytest.raises(TableError, match="start_s must be finite"):
        after_blocks(own, {})


@pytest.mark.parametrize(
    ("longest_s", "starts"), [(600.0, [0, 100, 200, 300]), (310.0, [0]), (300.0, [0]), (90.0, [0])]
)
def test_the_grid_has_whole_windows_and_at_least_one(longest_s, starts):
    grid = sliding_grid(longest_s, width_s=300.0, step_s=100.0)
    assert grid.starts_s.tolist() == starts
    assert grid.width_s == min(300.0, longest_s)
    assert grid.centres_s[0] == grid.width_s / 2


def test_too_many_windows_are_refused():
    with pytest.raises(ValueError, match=f"more than {MAX_WINDOWS}"):
        sliding_grid(1e9, width_s=300.0, step_s=1.0)
