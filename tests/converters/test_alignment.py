"""Clocks aligned by pulses: the simulated offset and drift come back, and nothing is guessed.

Truth, unless a test says otherwise: offset 12.3456 s, drift 80 ppm, 0.2 ms of jitter on each clock.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from nwbswitch.converters.clocks.alignment import Alignment, align_pulses, is_regular
from nwbswitch.converters.clocks.pulses import PulseTrain
from nwbswitch.schemas.errors import IssuesError

Floats = NDArray[np.float64]

OFFSET_S, DRIFT = 12.3456, 80e-6
JITTER_S = 0.2e-3
SD_MS = 1000 * JITTER_S * np.sqrt(2)
"""Standard deviation of the difference of two jittered times."""


def train(times_s: Floats, name: str = "own.csv") -> PulseTrain:
    return PulseTrain(Path(name), "ttl", np.asarray(times_s, dtype=float))


def reference(own_s: Floats, offset_s: float = OFFSET_S, drift: float = DRIFT) -> Floats:
    return np.asarray(offset_s + own_s * (1 + drift))


def irregular(n: int, seed: int = 0) -> Floats:
    """Return pulses with intervals of 0.5 to 1.5 s."""
    return np.cumsum(np.random.default_rng(seed).uniform(0.5, 1.5, n))


def jittered(times_s: Floats, seed: int, sd_s: float = JITTER_S) -> Floats:
    return times_s + np.random.default_rng(seed).normal(0, sd_s, len(times_s))


def thinned(times_s: Floats, share: float, seed: int) -> Floats:
    return times_s[np.random.default_rng(seed).random(len(times_s)) > share]


def largest_error_ms(found: Alignment, own_s: Floats, truth_s: Floats) -> float:
    return float(1000 * np.abs(found.map.apply(own_s) - truth_s).max())


def assert_true(found: Alignment, own_s: Floats, *, n: int) -> None:
    """Check offset and drift against their standard errors: five of them, one failure in a million."""
    middle, spread = own_s.mean(), own_s.std() * np.sqrt(n)
    drift_se = SD_MS / 1000 / spread
    offset_se = SD_MS / 1000 / np.sqrt(n) + abs(middle) * drift_se
    assert abs(found.map.drift - DRIFT) < 5 * drift_se
    assert abs(found.offset_s - OFFSET_S) < 5 * offset_se
    # The estimate of a standard deviation from n values has a relative error of 1 / sqrt(2 n).
    assert found.jitter_ms == pytest.approx(SD_MS, rel=5 / np.sqrt(2 * n))


@pytest.mark.parametrize("n", [10, 100, 3000])
def test_pulses_of_equal_number(n: int) -> None:
    own = irregular(n)
    found = align_pulses(train(jittered(own, 1)), train(jittered(reference(own), 2)))
    assert_true(found, own, n=n)
    assert (found.n_matched, found.n_unmatched) == (n, 0)
    assert found.max_residual_ms < 6 * SD_MS


@pytest.mark.parametrize("n", [12, 60, 3000])
@pytest.mark.parametrize("lost", [0.05, 0.3])
def test_lost_pulses_in_both(n: int, lost: float) -> None:
    own = irregular(n)
    a, b = thinned(jittered(own, 1), lost, 3), thinned(jittered(reference(own), 2), lost, 4)
    found = align_pulses(train(a), train(b))
    assert_true(found, own, n=found.n_matched)
    both = np.intersect1d(
        np.flatnonzero(np.isin(jittered(own, 1), a)), np.flatnonzero(np.isin(jittered(reference(own), 2), b))
    )
    # A jittered pulse beyond six standard deviations, or a stranger within a millisecond: one in thousands.
    assert abs(found.n_matched - len(both)) <= 1 + n // 1000
    assert found.n_matched + found.n_unmatched_own == len(a)
    assert found.n_matched + found.n_unmatched_reference == len(b)


def test_lost_and_doubled_pulses() -> None:
    own = irregular(3000)
    random = np.random.default_rng(5)
    a = jittered(own, 1)
    a = np.sort(np.concatenate([a, a[random.random(len(a)) < 0.05] + 0.004]))
    found = align_pulses(train(thinned(a, 0.02, 6)), train(thinned(jittered(reference(own), 2), 0.02, 7)))
    assert_true(found, own, n=found.n_matched)
    assert found.n_unmatched_own > 100
    assert found.n_unmatched - found.n_missed < 10


def test_a_short_part_of_a_long_recording() -> None:
    own = irregular(5000)
    part = slice(3200, 3240)
    found = align_pulses(train(jittered(own, 1)[part]), train(jittered(reference(own), 2)))
    # Forty pulses in 40 s: drift is known to 5 ppm only, but times within them to a tenth of a millisecond.
    assert largest_error_ms(found, own[part], reference(own)[part]) < 0.3
    assert (found.n_matched, found.n_unmatched_reference) == (40, 4960)


def test_recordings_that_overlap_in_part() -> None:
    own = irregular(3000)
    found = align_pulses(train(jittered(own, 1)[:1800]), train(jittered(reference(own), 2)[1200:]))
    assert (found.n_matched, found.n_unmatched_own, found.n_unmatched_reference) == (600, 1200, 1200)
    assert found.n_missed == 0
    assert largest_error_ms(found, own[1200:1800], reference(own)[1200:1800]) < 0.1


def test_bar_codes() -> None:
    """Every 30 s a start bit and 32 random bits of 30 ms: many intervals are alike, their order is not."""
    random = np.random.default_rng(1)
    own = np.concatenate(
        [
            30 * n
            + 0.03 * np.flatnonzero(np.diff(np.concatenate([[0, 1, 0], random.integers(0, 2, 32)])) == 1)
            for n in range(120)
        ]
    )
    part = slice(300, 800)
    found = align_pulses(train(np.round(own, 4)[part]), train(np.round(reference(own), 4)))
    assert found.n_matched == 500
    assert largest_error_ms(found, own[part], reference(own)[part]) < 0.05


def test_a_million_pulses_take_n_log_n() -> None:
    own = irregular(1_000_000)
    a, b = thinned(jittered(own, 1), 0.05, 3), thinned(jittered(reference(own), 2), 0.05, 4)
    start = time.process_time()
    found = align_pulses(train(a), train(b))
    # About 3 s of one core; a matrix of all pairs would take days.
    assert time.process_time() - start < 60
    assert abs(found.drift_ppm - 80) < 1e-5
    assert abs(found.offset_s - OFFSET_S) < 1e-5
    assert found.n_matched == pytest.approx(902_500, abs=2000)


def test_clocks_that_count_from_1970() -> None:
    own = irregular(1000)
    found = align_pulses(train(own + 1.7e9), train(thinned(reference(own), 0.05, 3)))
    # The doubles of 1.7e9 s are 0.24 us apart.
    assert largest_error_ms(found, own + 1.7e9, reference(own)) < 1e-3


@pytest.mark.parametrize("drift", [-0.005, 0.005])
def test_the_drift_of_a_ceramic_resonator(drift: float) -> None:
    own = irregular(1000)
    truth = reference(own, drift=drift)
    found = align_pulses(train(jittered(own, 1)), train(thinned(jittered(truth, 2), 0.05, 3)))
    assert found.drift_ppm == pytest.approx(1e6 * drift, abs=1)


def test_time_stamps_in_steps_of_windows() -> None:
    own = irregular(2000)
    stamped = np.floor(own / 0.0156) * 0.0156
    found = align_pulses(train(stamped), train(thinned(reference(own), 0.05, 3)))
    # Uniform over 15.6 ms: a standard deviation of 4.5 ms; stamps are late by half a step on average.
    assert found.jitter_ms == pytest.approx(15.6 / np.sqrt(12), rel=0.1)
    assert largest_error_ms(found, own, reference(own) + 0.0078) < 1


def test_equal_numbers_but_each_lost_another_end() -> None:
    """Regular within 3 %, but both systems saw the same irregularity, which tells the shift."""
    own = np.arange(9000) / 30 + np.random.default_rng(0).normal(0, 1e-3, 9000)
    a, b = jittered(own, 1, 2e-5)[3:], jittered(reference(own), 2, 2e-5)[:-3]
    found = align_pulses(train(a), train(b))
    assert (found.n_matched, found.n_unmatched_own, found.n_unmatched_reference) == (8994, 3, 3)
    assert abs(found.offset_s - OFFSET_S) < 1e-4


def test_regular_pulses_of_equal_number() -> None:
    own = np.arange(9000) / 30
    found = align_pulses(train(jittered(own, 1)), train(jittered(reference(own), 2)))
    assert_true(found, own, n=9000)


@pytest.mark.parametrize(("extra", "kept"), [("after", slice(None, -4)), ("before", slice(4, None))])
def test_regular_pulses_with_a_surplus_that_was_stated(extra: str, kept: slice) -> None:
    own = np.arange(9000) / 30
    b = jittered(reference(own), 2)[kept]
    found = align_pulses(train(jittered(own, 1)), train(b), extra=extra)  # type: ignore[arg-type]
    assert (found.n_unmatched_own, found.n_unmatched_reference) == (4, 0)
    assert abs(found.offset_s - OFFSET_S) < 5e-5


def test_a_few_late_time_stamps_do_not_count() -> None:
    own = np.arange(9000) / 30
    late = jittered(own, 1)
    late[[100, 4000, 8000]] += 0.02
    found = align_pulses(train(late), train(jittered(reference(own), 2)))
    assert (found.n_matched, found.n_unmatched_own) == (8997, 3)
    assert_true(found, own, n=8997)


def test_one_pulse_gives_the_offset_and_two_the_drift() -> None:
    one = align_pulses(train(np.array([5.0])), train(np.array([17.0])))
    assert (one.offset_s, one.drift_ppm, one.n_matched) == (12.0, 0.0, 1)
    two = align_pulses(train(np.array([5.0, 105.0])), train(np.array([17.0, 117.01])))
    assert two.drift_ppm == pytest.approx(100)
    assert np.isnan(two.jitter_ms)
    assert np.isnan(two.max_residual_ms)


def test_the_same_pulses_always_give_the_same_line() -> None:
    own = irregular(5000)
    a, b = train(thinned(jittered(own, 1), 0.1, 3)), train(thinned(jittered(reference(own), 2), 0.1, 4))
    assert align_pulses(a, b) == align_pulses(a, b)


# --- refusals


def refusal(own_s: Floats, reference_s: Floats, **options: object) -> str:
    with pytest.raises(IssuesError) as caught:
        align_pulses(train(own_s), train(reference_s, "reference.csv"), **options)  # type: ignore[arg-type]
    (found,) = caught.value.issues
    assert found.code == "pulses-differ"
    assert found.place.file == Path("own.csv")
    assert "reference.csv" in found.message
    assert found.remedy
    return f"{found.message} {found.remedy}"


def test_regular_pulses_of_unequal_number_are_not_guessed() -> None:
    own = np.arange(9000) / 30
    said = refusal(jittered(own, 1), jittered(reference(own), 2)[:-3])
    assert "9000 pulses" in said
    assert "8997 pulses" in said
    assert "come regularly" in said
    assert "extra: before or after" in said


def test_regular_pulses_with_a_gap_are_not_guessed() -> None:
    own = np.arange(9000) / 30
    assert "come regularly" in refusal(np.delete(jittered(own, 1), 4000), jittered(reference(own), 2))


def test_a_lost_and_a_doubled_pulse_do_not_cancel() -> None:
    own = np.arange(9000) / 30
    a = np.sort(np.concatenate([np.delete(jittered(own, 1), 2000), [own[7000] + 0.003]]))
    assert "come regularly" in refusal(a, jittered(reference(own), 2))


@pytest.mark.parametrize("jitter_ms", [0.5, 1, 2, 4, 8])
def test_jitter_of_regular_pulses_is_no_pattern(jitter_ms: float) -> None:
    """Jitter of each clock's own makes intervals irregular, but not alike."""
    own = np.arange(9000) / 30
    for seed in range(0, 6, 2):
        a = np.sort(jittered(np.delete(own, [5, 800]), seed, jitter_ms / 1000))
        b = np.sort(jittered(np.delete(reference(own), 4000), seed + 1, jitter_ms / 1000))
        refusal(a, b)


def test_a_pattern_that_repeats_is_ambiguous() -> None:
    once = irregular(60)
    own = np.concatenate([once + 70 * n for n in range(30)])
    assert "another assignment explains 100 %" in refusal(
        jittered(own[120:600], 1), jittered(reference(own), 2)
    )


@pytest.mark.parametrize("at", [0.1, 0.5, 0.98, 0.995])
def test_a_clock_that_jumps_is_not_aligned(at: float) -> None:
    own = irregular(2000)
    jumped = own + 0.3 * (np.arange(2000) >= 2000 * at)
    said = refusal(jittered(jumped, 1), jittered(reference(own), 2))
    assert "jumped or stopped" in said
    assert "Make a session of each part" in said


@pytest.mark.parametrize(
    ("n", "m"), [(12, 14), (10, 200), (60, 70), (2000, 2000), (2000, 1900)], ids=lambda n: str(n)
)
def test_pulses_of_another_line_are_not_aligned(n: int, m: int) -> None:
    for seed in range(0, 10, 2):
        refusal(irregular(n, seed), irregular(m, seed + 1))


def test_a_wrong_unit_is_not_aligned() -> None:
    own = irregular(2000)
    assert "scale" in refusal(1000 * own, thinned(reference(own), 0.02, 1))


def test_more_drift_than_any_clock_has_is_not_aligned() -> None:
    own = irregular(2000)
    assert "rate_hz" in refusal(own, thinned(reference(own, drift=0.012), 0.02, 1))
    refusal(own, reference(own, drift=0.012))


def test_the_largest_residual_can_be_set() -> None:
    own = irregular(2000)
    stamped = np.floor(own / 0.05) * 0.05
    refusal(stamped, reference(own))
    found = align_pulses(train(stamped), train(reference(own)), max_residual_ms=60)
    assert found.jitter_ms == pytest.approx(50 / np.sqrt(12), rel=0.1)


def test_a_surplus_at_the_other_end_than_stated_is_not_aligned() -> None:
    own = np.concatenate([np.arange(100.0), 100 + np.arange(100) / 2])
    refusal(own, reference(own)[3:], extra="after")


def test_too_few_and_no_pulses() -> None:
    assert "Fewer than 5" in refusal(np.array([1.0, 2, 4]), np.array([1.0, 2, 4, 7]))
    assert "saw none" in refusal(np.empty(0), np.arange(5.0))


def test_pulses_at_one_time() -> None:
    refusal(np.ones(9), np.arange(9.0))
    refusal(np.ones(7), np.arange(9.0))


def test_what_is_regular() -> None:
    assert is_regular(np.arange(100) / 30)
    assert is_regular(np.delete(np.arange(100) / 30, [20, 21]))
    assert not is_regular(irregular(100))
