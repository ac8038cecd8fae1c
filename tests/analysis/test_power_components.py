import json

import numpy as np
import pytest

from nwbswitch.analysis.power.components import components_of_fit, sd_interval
from nwbswitch.analysis.power.design_file import StatedComponents
from nwbswitch.schemas.errors import InputFileError

FIT = {
    "random": [
        {"group": "cell", "term": "(Intercept)", "sd": 0.8, "variance": 0.64},
        {"group": "session", "term": "(Intercept)", "sd": 0.2, "variance": 0.04},
        {"group": "session", "term": "windowdrug", "sd": 0.0, "variance": 0.0},
        {"group": "mouse", "term": "(Intercept)", "sd": 0.4},
        {"group": "mouse", "term": "windowdrug", "sd": 0.25},
        {"group": "mouse", "term": "armketamine:windowdrug", "sd": 0.15},
        {"group": "Residual", "term": "", "sd": 0.6},
    ],
    "correlations": [
        {"group": "session", "term_1": "(Intercept)", "term_2": "windowdrug", "correlation": None},
        {"group": "mouse", "term_1": "windowdrug", "term_2": "(Intercept)", "correlation": 0.3},
    ],
    "criterion": 1.0,
    "info": {"groups": {"cell": 900, "session": 12, "mouse": 6}, "converged": True},
}
NAMES = {"animal": "mouse", "session": "session", "neuron": "cell"}


def saved(tmp_path, value):
    file = tmp_path / "pilot.json"
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    return file


def test_components_are_read_off_a_fit(tmp_path):
    pilot = components_of_fit(saved(tmp_path, FIT), **NAMES)
    found = pilot.components
    assert (found.animal_intercept_sd, found.animal_slope_sd, found.animal_correlation) == (0.4, 0.25, 0.3)
    assert found.animal_response_sd == 0.15
    assert (found.session_intercept_sd, found.session_slope_sd, found.session_correlation) == (0.2, 0.0, 0.0)
    assert (found.neuron_sd, found.neuron_slope_sd, found.residual_sd) == (0.8, 0.0, 0.6)
    assert pilot.groups == {"cell": 900, "session": 12, "mouse": 6}
    assert pilot.notes == ()


def test_stated_components_come_before_those_of_the_pilot(tmp_path):
    stated = StatedComponents(
        from_fit=saved(tmp_path, FIT), animal_group="mouse", neuron_group="cell", session_slope_sd=0.1
    )
    pilot = stated.resolved()
    assert pilot.components.session_slope_sd == 0.1
    assert pilot.components.animal_slope_sd == 0.25
    assert pilot.groups == {"animal": 6, "session": 12, "neuron": 900}


def test_bars_without_correlation_are_joined_and_missing_groups_are_told(tmp_path):
    value = {
        "random": [
            {"group": "animal", "term": "(Intercept)", "sd": 0.4},
            {"group": "animal.1", "term": "epoch", "sd": 0.25},
            {"group": "Residual", "term": "", "sd": 0.6},
        ]
    }
    pilot = components_of_fit(saved(tmp_path, value), animal="animal", session="session", neuron="neuron")
    assert pilot.components.animal_slope_sd == 0.25
    assert pilot.components.neuron_sd == 0.0
    assert len(pilot.notes) == 2
    assert "no random effect of session" in pilot.notes[0]


def test_a_response_in_two_columns_is_their_difference(tmp_path):
    terms = ["armsaline:windowbaseline", "armsaline:windowdrug"]
    value = {
        "random": [
            {"group": "animal", "term": terms[0], "sd": 1.0},
            {"group": "animal", "term": terms[1], "sd": 1.2},
            {"group": "Residual", "term": "", "sd": 0.6},
        ],
        "correlations": [{"group": "animal", "term_1": terms[0], "term_2": terms[1], "correlation": 0.9}],
    }
    pilot = components_of_fit(saved(tmp_path, value), animal="animal", session="session", neuron="neuron")
    assert pilot.components.animal_response_sd == pytest.approx(np.sqrt(1.0 + 1.44 - 2 * 0.9 * 1.2))
    assert any("difference of armsaline:windowbaseline and" in note for note in pilot.notes)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{", "JSON"),
        ("[]", "not the JSON of a fit"),
        ({}, "random"),
        ({"random": [{"group": "animal", "term": "(Intercept)"}]}, r"random\.0\.sd"),
        ({"random": [{"group": "animal", "term": "(Intercept)", "sd": -1}]}, r"random\.0\.sd"),
        ({"random": [{"group": "animal", "term": "(Intercept)", "sd": "0.4"}]}, r"random\.0\.sd"),
        ({"random": [{"group": "animal", "term": "(Intercept)", "sd": 0.4}]}, "0 residual variances"),
        ({"random": [{"group": "Residual", "term": "", "sd": 0.0}]}, "no residual scatter"),
        ({**FIT, "random": [*FIT["random"], {"group": "mouse", "term": "dose", "sd": 1}]}, "several terms"),
        ({**FIT, "correlations": [{"group": "a", "term_1": "b", "term_2": "c", "correlation": 2}]}, "corr"),
        ('{"random": ' + "[" * 100_000 + "]" * 100_000 + "}", "JSON"),
    ],
)
def test_what_is_no_fit_is_refused_with_its_path(tmp_path, value, said):
    file = saved(tmp_path, value)
    with pytest.raises(InputFileError, match=said) as caught:
        components_of_fit(file, **NAMES)
    assert str(caught.value).startswith(str(file))


def test_a_missing_pilot_is_named(tmp_path):
    with pytest.raises(InputFileError, match="no such file"):
        components_of_fit(tmp_path / "none.json", **NAMES)


def test_the_interval_of_an_sd_covers_it():
    # 20,000 samples of 6: coverage to 5 Monte-Carlo standard errors.
    rng = np.random.default_rng(0)
    sds = rng.normal(size=(20_000, 6)).std(axis=1, ddof=1)
    low, high = sd_interval(1.0, 6)
    share = np.mean((sds * low <= 1.0) & (sds * high >= 1.0))
    assert share == pytest.approx(0.95, abs=5 * np.sqrt(0.95 * 0.05 / 20_000))
    assert (low, high) == pytest.approx((0.624, 2.453), abs=1e-3)
