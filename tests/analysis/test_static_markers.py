"""N4: ROIs that cannot report activity must not change with the drug."""

from __future__ import annotations

import numpy as np
import pytest

from nwbswitch.analysis.estimands.counts import DRUG, SessionCounts, WindowCounts
from nwbswitch.analysis.verdicts.controls import Control, Outcome, judge
from nwbswitch.analysis.verdicts.static_markers import (
    NEGLIGIBLE_PER_MIN,
    STATIC_MARKER,
    static_check,
    static_sums,
)
from nwbswitch.schemas.roi_labels import known_cell_type


def _window(per_min: float, rois: int, rng: np.random.Generator) -> WindowCounts:
    events = rng.poisson(per_min / 2, (rois, 20)).astype(float)
    return WindowCounts(events, np.zeros_like(events), np.full(events.shape, 30.0), 1 + np.arange(20) % 2)


def _arm(
    arm: str, before: float, after: float, *, animals: int = 8, rois: int = 10, seed: int = 0, first: int = 0
) -> list[SessionCounts]:
    rng = np.random.default_rng([seed, len(arm)])
    return [
        SessionCounts(
            dataset="d",
            animal=f"m{first + place}",
            session=arm,
            arm=arm,
            order=1,
            cell_type=STATIC_MARKER,
            anatomical=True,
            simulated=True,
            identity=np.array([f"{place}-{roi}" for roi in range(rois)]),
            windows={"baseline": _window(before, rois, rng), "drug": _window(after, rois, rng)},
        )
        for place in range(animals)
    ]


def _control(drug: list[SessionCounts], saline: list[SessionCounts]) -> Control:
    check = static_check(static_sums(drug, DRUG), static_sums(saline, DRUG), arm="ketamine", of="saline")
    return judge("ketamine", [check])[0]


def test_the_vocabulary_has_the_word() -> None:
    for word in ("static_marker", "static marker", "Structural marker", "tdTomato-only", "beads"):
        assert known_cell_type(word) == STATIC_MARKER


@pytest.mark.parametrize("per_min", [0.0, 0.02])
def test_rare_artefacts_that_do_not_change_pass(per_min: float) -> None:
    control = _control(_arm("ketamine", per_min, per_min), _arm("saline", per_min, per_min))
    assert control.outcome is Outcome.PASSED, control.sentence
    assert abs(control.estimates["events/min"].estimate) < NEGLIGIBLE_PER_MIN


def test_a_shift_of_the_plane_with_the_drug_fails() -> None:
    control = _control(_arm("ketamine", 0.05, 0.35), _arm("saline", 0.05, 0.05))
    assert control.outcome is Outcome.FAILED
    assert "artefacts that change with the drug" in control.sentence
    assert control.estimates["events/min"].estimate == pytest.approx(0.3, abs=0.05)
    assert control.estimates["G"].estimate == pytest.approx(np.log2(7), abs=0.6)


def test_artefacts_that_are_lost_with_the_drug_fail_too() -> None:
    control = _control(_arm("ketamine", 0.4, 0.05), _arm("saline", 0.4, 0.4))
    assert control.outcome is Outcome.FAILED
    assert control.estimates["events/min"].estimate == pytest.approx(-0.35, abs=0.06)


def test_a_shift_in_both_arms_is_no_failure() -> None:
    control = _control(_arm("ketamine", 0.05, 0.35), _arm("saline", 0.05, 0.35))
    assert control.outcome is not Outcome.FAILED


def test_other_animals_may_carry_the_reference() -> None:
    saline = _arm("saline", 0.05, 0.05, first=20)
    assert _control(_arm("ketamine", 0.05, 0.4), saline).outcome is Outcome.FAILED
    assert _control(_arm("ketamine", 0.02, 0.02), saline).outcome is not Outcome.FAILED


def test_few_rois_without_an_event_do_not_prove_that_there_are_none() -> None:
    one, other = (_arm(arm, 0.0, 0.0, animals=2, rois=1) for arm in ("ketamine", "saline"))
    control = _control(one, other)
    assert control.outcome is Outcome.INCONCLUSIVE
    # one event more in each of four windows of 20 ROI minutes
    assert control.estimates["events/min"].se == pytest.approx(np.sqrt(4) / 20)


def test_one_animal_and_no_rois_are_said() -> None:
    one, other = (_arm(arm, 0.1, 0.1, animals=1) for arm in ("ketamine", "saline"))
    control = _control(one, other)
    assert control.outcome is Outcome.INCONCLUSIVE
    assert "needs >= 2 animals" in control.sentence
    sums = static_sums(one, DRUG)
    assert static_sums([], DRUG) is None
    for drug, saline, words in (
        (None, sums, "no static-marker ROIs"),
        (sums, None, "no static-marker ROIs to compare with in saline"),
    ):
        (control,) = judge("ketamine", [static_check(drug, saline, arm="ketamine", of="saline")])
        assert control.sentence == f"N4 impossible here: {words}."
