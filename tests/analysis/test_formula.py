import pytest

from nwbswitch.analysis.formulas.formula import read_formula, term_name
from nwbswitch.schemas.errors import FormulaError


def fixed(text: str) -> list[str]:
    return [term_name(term) for term in read_formula(text + " + (1 | g)").fixed]


def random(text: str) -> list[tuple[list[str], str]]:
    return [([term_name(each) for each in bar.terms], bar.group_name) for bar in read_formula(text).random]


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("y ~ a*b", ["(Intercept)", "a", "b", "a:b"]),
        ("y ~ 0 + b:a + a", ["a", "b:a"]),
        ("y ~ a - 1", ["a"]),
        ("y ~ a + b:c + d", ["(Intercept)", "a", "d", "b:c"]),
        ("y ~ (a + b + c)^2 - a:b", ["(Intercept)", "a", "b", "c", "a:c", "b:c"]),
        ("y ~ f/x", ["(Intercept)", "f", "f:x"]),
        ("y ~ (f + h)/x", ["(Intercept)", "f", "h", "f:h:x"]),
        ("y ~ a + a:b + b:a", ["(Intercept)", "a", "a:b"]),
        ("y ~ I(x^2) + log(x+10) + factor(r)", ["(Intercept)", "I(x^2)", "log(x + 10)", "factor(r)"]),
        ("y ~ `two words`", ["(Intercept)", "`two words`"]),
        ("y ~ a - (b - a)", ["(Intercept)", "a"]),
        ("y ~ 1", ["(Intercept)"]),
    ],
)
def test_terms_come_out_as_in_r(text, terms):
    assert fixed(text) == terms


@pytest.mark.parametrize(
    ("text", "bars"),
    [
        ("y ~ (1|a/b)", [(["(Intercept)"], "a"), (["(Intercept)"], "b:a")]),
        ("y ~ (1|a/b/c)", [(["(Intercept)"], "a"), (["(Intercept)"], "b:a"), (["(Intercept)"], "c:(b:a)")]),
        ("y ~ (x||g)", [(["(Intercept)"], "g"), (["x"], "g")]),
        ("y ~ (0 + x | g)", [(["x"], "g")]),
        ("y ~ (1 + x*z | a:b)", [(["(Intercept)", "x", "z", "x:z"], "a:b")]),
    ],
)
def test_bars_expand_as_in_lme4(text, bars):
    assert random(text) == bars


def test_the_left_side_may_be_arithmetic():
    response = read_formula("(post-pre)/pre ~ x + (1|g)").response
    assert response.name == "(post - pre)/pre"
    assert response.code == "(`post`-`pre`)/`pre`"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "y",
        "y ~ x",
        "y ~ x + 1|g",
        "y ~ (1|g",
        "y ~ x*(1|g)",
        "y ~ x - (1|g)",
        "y ~ ~ x",
        "y ~ x z + (1|g)",
        "y ~ . + (1|g)",
        "y ~ `a + (1|g)",
        "y ~ 3 + (1|g)",
        "y ~ 'a' + (1|g)",
        "y ~ x + (1|a+b)",
        "y ~ x + (0|g)",
        "y ~ x[a] + (1|g)",
        "y ~ x^9 + (1|g)",
        "y ~ I(x:b) + (1|g)",
        "y ~ os.system(x) + (1|g)",
        "y ~ __import__(x) + (1|g)",
        "y ~ log(x, b) + (1|g)",
        "y ~ " + "(" * 600 + "x" + ")" * 600 + " + (1|g)",
        "y ~ x" + " + x" * 1000 + " + (1|g)",
    ],
)
def test_what_is_not_a_formula_is_refused_in_one_sentence(text):
    with pytest.raises(FormulaError) as caught:
        read_formula(text)
    assert len(str(caught.value)) < 500


def test_a_wrong_function_name_gets_a_hint():
    with pytest.raises(FormulaError, match="Did you mean 'log'"):
        read_formula("y ~ lg(x) + (1|g)")


def test_bars_are_refused_where_they_have_no_meaning():
    assert read_formula("y ~ dose", bars=False).random == ()
    with pytest.raises(FormulaError, match="random term"):
        read_formula("y ~ dose + (1|study)", bars=False)


@pytest.mark.parametrize("operator", ["*", ":"])
def test_products_of_many_terms_are_refused_before_they_are_formed(operator):
    many = "(" + " + ".join(f"v{i}" for i in range(40)) + ")"
    with pytest.raises(FormulaError, match="more than 1000 terms"):
        read_formula(f"y ~ {many} {operator} {many} + (1 | a)")
    with pytest.raises(FormulaError, match="more than 1000 terms"):
        read_formula("y ~ " + "*".join(f"v{i}" for i in range(40)) + " + (1 | a)")


def test_a_group_in_itself_is_refused():
    with pytest.raises(FormulaError, match="nests 'a' in itself"):
        read_formula("y ~ x + (1 | a/a)")
