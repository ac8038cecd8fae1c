"""What may be chosen, and the transients of indicators."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from nwbswitch.analysis.activity.recipe import CalciumModel, Recipe
from nwbswitch.analysis.activity.transients import TRANSIENTS, Transient, transient_of


@pytest.mark.parametrize(
    "wrong",
    [
        {"block_s": 0.0},
        {"block_s": math.nan},
        {"threshold_sd": -1.0},
        {"threshold_sd": "3"},
        {"neuropil_coefficient": 1.1},
        {"neuropil_coefficient": "auto"},
        {"events": "peaks"},
        {"spikes": "calcium"},
        {"decay_s": 0.0},
        {"min_block_share": 2.0},
        {"margin_s": -1.0},
        {"piece_s": 30.0},
        {"max_shift_um": math.inf},
        {"smooth_s": True},
    ],
    ids=str,
)
def test_wrong_choices_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Recipe(**wrong)


def test_a_recipe_is_plain_values_for_provenance():
    plain = Recipe(neuropil_coefficient="fit", calcium=CalciumModel(rate_hz=7.0)).as_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["calcium"]["rate_hz"] == 7.0
    assert plain["calcium"]["transient"]["indicator"] == "GCaMP6s"
    assert plain["neuropil_coefficient"] == "fit"


@pytest.mark.parametrize("transient", TRANSIENTS.values(), ids=lambda each: each.indicator)
def test_the_course_of_a_transient_has_its_published_peak_and_half_decay(transient):
    rise_s, decay_s = transient.constants_s
    time_s = np.linspace(0, 3, 300_001)
    course = (1 - np.exp(-time_s / rise_s)) * np.exp(-time_s / decay_s)
    peak = course.argmax()
    assert time_s[peak] == pytest.approx(transient.peak_s, abs=1e-4)
    half = peak + np.flatnonzero(course[peak:] <= course[peak] / 2)[0]
    assert time_s[half] - time_s[peak] == pytest.approx(transient.half_decay_s, abs=1e-4)


@pytest.mark.parametrize(
    ("stated", "indicator"),
    [
        ("GCaMP6s", "GCaMP6s"),
        ("AAV1.Syn.GCaMP6f.WPRE", "GCaMP6f"),
        ("soma-targeted jGCaMP8m", "jGCaMP8m"),
        ("gcamp-7f", "jGCaMP7f"),
        ("GCaMP6", None),
        ("GCaMP6s and GCaMP6f", None),
        ("OGB-1", None),
        ("", None),
    ],
)
def test_an_indicator_is_known_by_its_name_in_the_words_of_the_file(stated, indicator):
    found = transient_of(stated)
    assert (None if found is None else found.indicator) == indicator


@pytest.mark.parametrize(
    "wrong", [{"amplitude_dff": 0.0}, {"peak_s": math.nan}, {"peak_s": 0.6}, {"half_decay_s": -1.0}], ids=str
)
def test_transients_that_cannot_be_are_refused(wrong):
    values = {"indicator": "x", "amplitude_dff": 0.2, "peak_s": 0.1, "half_decay_s": 0.5}
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Transient(**{**values, **wrong})
