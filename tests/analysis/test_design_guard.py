import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.mixed.design_guard import missing_slopes
from nwbswitch.analysis.mixed.model_frame import model_frame


def design(*, crossed: bool) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([range(6), range(4), range(5), range(2), range(2)])
    table = index.to_frame(index=False, name=["animal", "visit", "cell", "epoch", "rep"])
    table["session"] = table["animal"] * 10 + table["visit"]
    table["neuron"] = table["session"] * 10 + table["cell"]
    table["drug"] = (table["visit"] if crossed else table["animal"]) % 2
    table["y"] = rng.normal(size=len(table))
    return table


@pytest.mark.parametrize(
    ("crossed", "random", "expected"),
    [
        (False, "(1 + epoch|animal) + (1|session) + (1|neuron)", []),
        (False, "(1|animal) + (1|session) + (1|neuron)", ["(epoch | animal)"]),
        (
            True,
            "(1 + epoch|animal) + (1|session) + (1|neuron)",
            ["(epoch | session)", "(drug:epoch | animal)"],
        ),
        (True, "(1 + epoch|animal) + (1 + epoch|session) + (1|neuron)", ["(drug:epoch | animal)"]),
        (True, "(1 + epoch + drug:epoch|animal) + (1 + epoch|session) + (1|neuron)", []),
    ],
)
def test_the_slopes_of_the_design_are_asked_for(crossed, random, expected):
    frame = model_frame(design(crossed=crossed), read_formula(f"y ~ drug*epoch + {random}"))
    warnings = missing_slopes(frame)
    assert len(warnings) == len(expected)
    for slope, warning in zip(expected, warnings, strict=True):
        assert f"no random slope {slope}" in warning
        assert "drug:epoch may reject too often" in warning
    if expected[:1] == ["(epoch | session)"]:
        assert "44 %" in warnings[0]
        assert "15.5 %" in warnings[1]


def test_an_effect_between_groups_needs_no_slope():
    frame = model_frame(design(crossed=False), read_formula("y ~ drug + (1|animal/session)"))
    assert missing_slopes(frame) == ()


@pytest.mark.parametrize(
    ("random", "expected"),
    [
        ("(1 + epoch|animal) + (1 + epoch|session) + (1|neuron)", []),
        ("(1 + epoch|animal) + (1|session) + (1|neuron)", ["(epoch | session)", "(drug:epoch | animal)"]),
    ],
)
def test_one_session_per_animal_and_arm_carries_the_response_of_the_animal(random, expected):
    table = design(crossed=True)
    frame = model_frame(table[table["visit"] < 2], read_formula(f"y ~ drug*epoch + {random}"))
    warnings = missing_slopes(frame)
    assert [
        f"no random slope {slope}" in warning for slope, warning in zip(expected, warnings, strict=True)
    ] == [True] * len(expected)
