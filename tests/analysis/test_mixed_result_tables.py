"""Tables of results in three formats: digits, order, and text that is data, never a command."""

import re

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.mixed.result_tables import latex_text, shown_table, table_text, to_latex, to_markdown


@pytest.fixture
def fixed() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "term": ["(Intercept)", "drug_a:epoch|50%"],
            "estimate": [1.234567, -2.5e-7],
            "se": [0.1, 1e-8],
            "df": [11.04, np.inf],
            "t": [12.34567, -25.0],
            "p": [0.03456, 1e-9],
            "ci_low": [1.0, -2.7e-7],
            "ci_high": [1.5, np.nan],
        }
    )


def test_digits_are_those_that_papers_print(fixed):
    shown = shown_table(fixed)
    assert shown.header == ("term", "estimate", "SE", "df", "t", "P", "95 % CI")
    assert shown.rows[0] == ("(Intercept)", "1.2346", "0.1000", "11.0", "12.35", ".0346", "[1.000, 1.500]")
    assert shown.rows[1][3:] == ("inf", "-25.00", "<.0001", "[-2.700e-07, -]")
    assert shown.numeric == (False, True, True, True, True, True, True)


def test_the_level_is_in_the_head(fixed):
    assert shown_table(fixed, level=0.9).header[-1] == "90 % CI"


def test_markdown_keeps_its_columns_whatever_a_name_holds(fixed):
    lines = to_markdown(fixed).splitlines()
    assert lines[1] == "| :--- | ---: | ---: | ---: | ---: | ---: | ---: |"
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {8}
    assert r"drug\_a:epoch\|50%" in lines[3]


def test_latex_is_booktabs_with_minus_signs_and_escaped_names(fixed):
    text = to_latex(fixed)
    assert text.splitlines()[:4] == [
        r"\begin{tabular}{lrrrrrr}",
        r"\toprule",
        r"term & estimate & SE & df & $t$ & $P$ & 95 \% CI \\",
        r"\midrule",
    ]
    assert text.splitlines()[-2:] == [r"\bottomrule", r"\end{tabular}"]
    assert r"drug\_a:epoch\textbar{}50\%" in text
    assert r"$-2.5000 \times 10^{-7}$" in text
    assert "$<.0001$" in text


@pytest.mark.parametrize("name", [r"\input{/etc/passwd}", "a & b", "$x_1^2$", "#1 {}~%"])
def test_no_name_is_a_command(name):
    rest = re.sub(r"\\(text\w+\{\}|[&%$#_{}])", "", latex_text(name))
    assert not set(rest) & set("\\&%$#_{}~^")


def test_a_name_of_several_lines_is_one_line():
    frame = pd.DataFrame({"term": ["a\n| b"], "n": [3]})
    assert len(table_text(frame, format="markdown").splitlines()) == 3
    assert len(table_text(frame).splitlines()) == 2


def test_truth_values_and_missing_ones_are_words():
    frame = pd.DataFrame({"high": [True, False], "value": [np.nan, 2.0], "note": [None, "x"]})
    assert shown_table(frame).rows == (("yes", "-", "-"), ("no", "2", "x"))


def test_an_empty_table_has_its_head():
    assert table_text(pd.DataFrame(columns=["term", "f"])) == "term  F"


def test_an_unknown_format_lists_what_there_is(fixed):
    with pytest.raises(ValueError, match="available are text, markdown, latex"):
        table_text(fixed, format="html")
