"""Effect sizes against metafor's escalc (tests/reference/meta_tools.R), and rows of hostile tables."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.meta_analysis.effect_sizes import ROLES, effect_sizes, require_effects
from nwbswitch.analysis.meta_analysis.effect_sizes_means import exact_j
from nwbswitch.schemas.errors import FitError, FormulaError

ANSWERS = json.loads((Path(__file__).resolve().parents[1] / "reference" / "meta_tools.json").read_text())[
    "effect_sizes"
]
CASES = [(kind, name) for kind, each in ANSWERS.items() for name in each["answers"]]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_measure_is_that_of_escalc(kind, name):
    measure, *vtype = name.split()
    table = pd.DataFrame(ANSWERS[kind]["data"])
    before = table.copy(deep=True)
    found = effect_sizes(table, measure=measure, vtype=vtype[0] if vtype else "LS")
    answer = ANSWERS[kind]["answers"][name]
    # metafor gives MD, SMD and the like without a limit; where it has none (null) we reject the row.
    assert found.effects["yi"].tolist() == pytest.approx(answer["yi"], rel=1e-11, abs=1e-14)
    assert found.effects["vi"].tolist() == pytest.approx(answer["vi"], rel=1e-11)
    assert found.rejected.empty
    pd.testing.assert_frame_equal(table, before)


def test_normand_of_the_shared_values(shared):
    values = json.loads((shared / "reference" / "r_values.json").read_text())["effect_sizes"]["normand1999"]
    table = pd.DataFrame({name: values[name] for name in ("n1i", "m1i", "sd1i", "n2i", "m2i", "sd2i")})
    for measure in ("SMD", "SMDH", "ROM"):
        found = effect_sizes(table, measure=measure).effects
        assert found["yi"].tolist() == pytest.approx(values[measure]["yi"], rel=1e-9)
        assert found["vi"].tolist() == pytest.approx(values[measure]["vi"], rel=1e-9)


def test_the_correction_for_small_samples():
    # J(2) = Gamma(1) / Gamma(1/2) and J(4) = Gamma(2) / (sqrt(2) Gamma(3/2))
    assert exact_j(2) == pytest.approx(1 / np.sqrt(np.pi))
    assert exact_j(4) == pytest.approx(np.sqrt(2 / np.pi))
    assert exact_j(1e6) == pytest.approx(1 - 3 / (4e6 - 1), rel=1e-9)


@pytest.fixture
def two_groups():
    """The same three comparisons by means and SDs, and what a paper could print instead."""
    from scipy import stats

    rng = np.random.default_rng(4)
    rows = []
    for n1, n2 in ((6, 7), (12, 9), (4, 4)):
        one, two = rng.normal(2.0, 1.0, n1), rng.normal(1.0, 1.5, n2)
        test = stats.ttest_ind(one, two)
        row = {"n1i": n1, "n2i": n2, "ti": test.statistic, "fi": test.statistic**2, "pi": test.pvalue}
        row["direction"] = "+" if test.statistic > 0 else "\N{MINUS SIGN}"
        for which, values in (("1", one), ("2", two)):
            n, mean, sd = len(values), values.mean(), values.std(ddof=1)
            low, high = stats.t.interval(0.9, n - 1, mean, sd / np.sqrt(n))
            row |= {f"m{which}i": mean, f"sd{which}i": sd, f"se{which}i": sd / np.sqrt(n)}
            row |= {f"ci{which}_low": low, f"ci{which}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("given", "basis"),
    [
        (["m1i", "m2i", "se1i", "se2i"], "means and SE"),
        (["m1i", "m2i", "ci1_low", "ci1_high", "ci2_low", "ci2_high"], "means and CI of the mean"),
        (["ti"], "t"),
        (["fi", "direction"], "F"),
        (["pi", "direction"], "P"),
    ],
)
def test_a_standardised_difference_from_what_papers_print(two_groups, given, basis):
    expected = effect_sizes(two_groups, measure="SMD").effects
    found = effect_sizes(two_groups[["n1i", "n2i", *given]], measure="SMD", level=0.9).effects
    assert found["yi"].tolist() == pytest.approx(expected["yi"], rel=1e-9)
    assert found["vi"].tolist() == pytest.approx(expected["vi"], rel=1e-9)
    assert set(found["basis"]) == {basis}
    assert set(expected["basis"]) == {"means and SD"}


def test_a_mean_difference_from_its_t_has_the_pooled_variance(two_groups):
    expected = effect_sizes(two_groups, measure="MD", vtype="HO").effects
    found = effect_sizes(two_groups[["n1i", "n2i", "m1i", "m2i", "ti"]], measure="MD").effects
    assert found["vi"].tolist() == pytest.approx(expected["vi"], rel=1e-9)


def test_changes_from_what_papers_print():
    from scipy import stats

    rng = np.random.default_rng(6)
    after, before = rng.normal(3.0, 1.0, 8), rng.normal(2.0, 1.0, 8)
    test = stats.ttest_rel(after, before)
    full = {
        "ni": 8, "m1i": after.mean(), "m2i": before.mean(),
        "sd1i": after.std(ddof=1), "sd2i": before.std(ddof=1), "ri": np.corrcoef(after, before)[0, 1],
    }  # fmt: skip
    sd = float((after - before).std(ddof=1))
    routes = {
        "SMCC": ({"ni": 8, "ti": test.statistic}, {"ni": 8, "pi": test.pvalue, "direction": 1}),
        "MC": (
            {"ni": 8, "m1i": full["m1i"], "m2i": full["m2i"], "sddi": sd},
            {
                "ni": 8,
                "m1i": full["m1i"],
                "m2i": full["m2i"],
                "fi": test.statistic**2,
                "direction": "increase",
            },
        ),
        "SMCR": ({**{k: v for k, v in full.items() if k != "ri"}, "sddi": sd},),
        "ROMC": ({**{k: v for k, v in full.items() if k != "ri"}, "sddi": sd},),
    }
    for measure, tables in routes.items():
        expected = effect_sizes(pd.DataFrame([full]), measure=measure).effects.iloc[0]
        for table in tables:
            found = effect_sizes(pd.DataFrame([table]), measure=measure).effects.iloc[0]
            assert found["yi"] == pytest.approx(expected["yi"], rel=1e-9)
            assert found["vi"] == pytest.approx(expected["vi"], rel=1e-9)


@pytest.mark.parametrize(
    "row",
    [
        {"yi": 0.6, "vi": 0.09},
        {"yi": 0.6, "sei": 0.3},
        {"yi": 0.6, "ci_low": 0.6 - 0.3 * 1.959963984540054, "ci_high": 0.6 + 0.3 * 1.959963984540054},
        {"yi": 0.6, "ci_low": 0.6 - 0.3 * 2.2281388519862735, "ci_high": 1.2684416555958819, "dfi": 10},
        {"yi": 0.6, "ti": 2.0},
        {"yi": -0.6, "pi": 0.04550026389635839},
        {"yi": 0.6, "pi": 0.07338803477074037, "dfi": 10},
    ],
)
def test_an_effect_with_any_statement_of_its_error(row):
    found = effect_sizes(pd.DataFrame([row]), measure="GEN").effects
    assert found["vi"].iloc[0] == pytest.approx(0.09, rel=1e-9)


def test_a_correlation_from_its_t():
    r, n = 0.4, 18
    t = r * np.sqrt((n - 2) / (1 - r**2))
    found = effect_sizes(pd.DataFrame({"ti": [t], "ni": [n]}), measure="ZCOR").effects
    assert found["yi"].iloc[0] == pytest.approx(np.arctanh(r))


GOOD = {"n1i": 8, "n2i": 9, "m1i": 3.0, "m2i": 2.0, "sd1i": 1.0, "sd2i": 1.2}


@pytest.mark.parametrize(
    ("measure", "change", "words"),
    [
        ("SMD", {"sd1i": "5.0 ± 1.2"}, "'5.0 ± 1.2', expected a number; give each number a column"),
        ("SMD", {"sd1i": "1,5"}, "with a decimal point"),
        ("SMD", {"m1i": "n.s."}, "m1i is 'n.s.', expected a number"),
        ("SMD", {"m1i": "=SUM(A1:A9)" * 50}, "…'"),
        ("SMD", {"m1i": float("inf")}, "finite"),
        ("SMD", {"m1i": True}, "is True"),
        ("SMD", {"m1i": None, "ti": None}, "m1i is empty"),
        ("SMD", {"sd1i": -1.0}, "above 0"),
        ("SMD", {"sd1i": 0.0}, "above 0"),
        ("SMD", {"n1i": 1}, "at least 2"),
        ("SMD", {"n1i": 7.5}, "whole number"),
        ("SMD", {"sd1i": None}, "sd1i, se1i and ci1_low"),
        ("SMD", {"m1i": 1e308, "sd1i": 1e-10, "sd2i": 1e-10}, "finite effect size"),
        ("SMD", {"sd1i": 1e-200, "sd2i": 1e-200}, "too small"),
        ("SMD", {"sd1i": 1e300}, "too large"),
        ("SMD", {"sd1i": None, "sd2i": None, "pi": "<0.001", "direction": "+"}, "not a bound"),
        ("SMD", {"sd1i": None, "sd2i": None, "pi": 0.01}, "no sign"),
        ("SMD", {"sd1i": None, "sd2i": None, "pi": 0.01, "direction": "sideways"}, "expected + or -"),
        ("SMD", {"sd1i": None, "sd2i": None, "pi": 0.0, "direction": "+"}, "exact two-sided P"),
        ("SMD", {"sd1i": None, "sd2i": None, "fi": -3.0, "direction": "+"}, "not negative"),
        ("SMD", {"sd1i": None, "ci1_low": 4.0, "ci1_high": 5.0}, "does not hold its centre"),
        ("SMD", {"sd1i": None, "ci1_low": 4.0, "ci1_high": 2.0}, "upside down"),
        ("MD", {"sd1i": None, "sd2i": None, "ti": -2.0}, "signs"),
        ("MD", {"sd1i": None, "sd2i": None, "ti": 0.0}, "nothing of the standard error"),
        ("ROM", {"m2i": -1.0}, "one sign"),
        ("ROM", {"m2i": 0.0}, "one sign"),
    ],
)
def test_a_row_that_cannot_be_computed_is_listed_with_its_reason(measure, change, words):
    table = pd.DataFrame([GOOD, {**GOOD, **change}, GOOD], dtype=object).assign(study=["a", "b", "c"])
    found = effect_sizes(table, measure=measure, slab="study")
    assert found.effects["label"].tolist() == ["a", "c"]
    assert found.effects["row"].tolist() == [1, 3]
    assert (found.rejected["row"].tolist(), found.rejected["label"].tolist()) == ([2], ["b"])
    assert words in found.rejected["reason"][0]
    assert len(found.rejected["reason"][0]) < 300
    assert words in found.summary()
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["rejected"][0]["row"] == 2


@pytest.mark.parametrize(
    ("measure", "row", "words"),
    [
        ("OR", {"ai": 12, "n1i": 10, "ci": 1, "n2i": 10}, "too many"),
        ("OR", {"ai": 0, "bi": 0, "ci": 1, "di": 2}, "groups is empty"),
        ("OR", {"ai": -1, "bi": 2, "ci": 1, "di": 2}, "at least 0"),
        ("PLO", {"xi": 5, "ni": 4}, "more than ni"),
        ("IRR", {"x1i": 3, "t1i": 0, "x2i": 4, "t2i": 1}, "above 0"),
        ("ZCOR", {"ri": 1.0, "ni": 9}, "between -1 and 1"),
        ("ZCOR", {"ri": 0.5, "ni": 3}, "at least 4"),
        ("SMCC", {"ni": 2, "ti": 3.0}, "at least 2"),
        ("MC", {"ni": 9, "m1i": 1, "m2i": 2, "sd1i": 1, "sd2i": 1, "ri": 1.2}, "correlation"),
        ("SMCR", {"ni": 9, "m1i": 1, "m2i": 2, "sd1i": 1, "sd2i": 1, "sddi": 5}, "implies r"),
        ("GEN", {"yi": 0.3}, "are empty"),
        ("GEN", {"yi": 0.0, "ti": 0.0}, "says nothing"),
        ("GEN", {"yi": 0.2, "vi": 0.0}, "above 0"),
        ("RD", {"ai": 0, "bi": 9, "ci": 0, "di": 9}, "variance would be 0"),
    ],
)
def test_other_measures_reject_what_they_cannot_compute(measure, row, words):
    found = effect_sizes(pd.DataFrame([row]), measure=measure, to="none")
    assert found.effects.empty
    assert words in found.rejected["reason"][0]
    with pytest.raises(FitError, match="Row 1"):
        require_effects(found)


def test_columns_of_other_names_and_what_was_there_is_kept():
    table = pd.DataFrame([GOOD]).rename(columns={"m1i": "mean (ketamine)"}).assign(lab="x", yi=99.0)
    found = effect_sizes(table, measure="SMD", columns={"m1i": "mean (ketamine)"})
    assert found.effects["lab"].tolist() == ["x"]
    assert (
        found.effects["yi"].iloc[0] == effect_sizes(pd.DataFrame([GOOD]), measure="SMD").effects["yi"].iloc[0]
    )


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"measure": "SDM"}, ValueError, "available are MD"),
        ({"measure": "SMD", "vtype": "AV"}, ValueError, "SMD offers LS, LS2, UB"),
        ({"measure": "ROM", "vtype": "UB"}, ValueError, "offers LS, HO"),
        ({"measure": "OR", "to": "some"}, ValueError, "only0"),
        ({"measure": "OR", "add": -1.0}, ValueError, "0 or more"),
        ({"measure": "SMD", "level": 95}, ValueError, "between 0 and 1"),
        ({"measure": "SMD", "columns": {"m1": "m1i"}}, ValueError, "Did you mean 'm1i'"),
        ({"measure": "SMD", "columns": {"m1i": "m1"}}, FormulaError, "no column 'm1'"),
        ({"measure": "SMD", "slab": "study"}, FormulaError, "no column 'study'"),
        ({"measure": "IRR"}, FormulaError, "none of the columns of IRR"),
    ],
)
def test_wrong_arguments_are_said(arguments, error, words):
    with pytest.raises(error) as caught:
        effect_sizes(pd.DataFrame([GOOD]), **arguments)
    assert words in str(caught.value)


def test_a_column_that_is_there_twice_is_refused():
    table = pd.DataFrame([[8, 9, 1.0, 1.0]], columns=["n1i", "n2i", "ti", "ti"])
    with pytest.raises(FormulaError, match="two columns 'ti'"):
        effect_sizes(table, measure="SMD")


def test_every_measure_says_its_columns():
    assert set(ROLES) == {name.split()[0] for _, name in CASES} | {"GEN"}
