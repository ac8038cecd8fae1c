"""Meta-analyses of files: the command and the function behind it."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from nwbswitch.analysis.meta_analysis.meta import meta
from nwbswitch.analysis.meta_analysis.meta_questions import MetaQuestions
from nwbswitch.analysis.meta_analysis.multilevel import multilevel
from nwbswitch.analysis.runs.meta_tables import meta_tables
from nwbswitch.cli_meta import _MEASURES, _TAU2
from nwbswitch.cli_meta import meta as command
from nwbswitch.schemas.errors import ExistingOutputError, FitError, InputFileError
from nwbswitch.schemas.tables import ESTIMATES

TOOLS = json.loads((Path(__file__).resolve().parents[1] / "reference" / "meta_tools.json").read_text())
BCG = pd.DataFrame({name: TOOLS["bcg"][name] for name in ("yi", "vi", "ablat", "year", "author", "weights")})
BCG["lab"] = list("abcdabcdabcda")
BCG["study"] = range(13)


@pytest.fixture
def trials(tmp_path):
    path = tmp_path / "bcg.csv"
    BCG.to_csv(path, index=False)
    return path


def _estimates(dataset: str, seed: int, *, n_animals: int = 6, effect: float = 1.0) -> pd.DataFrame:
    """An estimates table: M and SW of ketamine against saline, per animal and for the arm."""
    rng = np.random.default_rng(seed)
    rows = []
    base = {
        "dataset": dataset, "arm": "ketamine", "cell_type": "excitatory", "contrast": "vs_saline", "k": 0,
        "ci_low": np.nan, "ci_high": np.nan, "df": 5.0, "p": np.nan, "n_sessions": 2, "n_neurons": 60,
        "status": "ok", "simulated": True,
    }  # fmt: skip
    for name in ("M", "SW"):
        values = effect + rng.normal(0, 0.4, n_animals)
        for i, value in enumerate(values):
            row = {"level": "animal", "animal": f"0{i}", "estimand": name, "estimate": value, "se": 0.2}
            rows.append({**base, **row, "n_animals": 1})
        row = {"level": "arm", "animal": "", "estimand": name, "estimate": values.mean()}
        row["se"] = values.std(ddof=1) / np.sqrt(n_animals)
        rows.append({**base, **row, "n_animals": n_animals})
    return ESTIMATES.checked(pd.DataFrame(rows))


@pytest.fixture
def datasets(tmp_path):
    paths = []
    for i in range(4):
        path = tmp_path / f"d{i}" / "estimates.csv"
        path.parent.mkdir()
        _estimates(f"d{i}", i).to_csv(path, index=False)
        paths.append(path)
    return paths


def _run(*arguments, **more):
    return CliRunner().invoke(command, [str(each) for each in arguments], catch_exceptions=False, **more)


def test_the_choices_of_the_command_are_those_of_the_functions():
    from typing import get_args

    from nwbswitch.analysis.meta_analysis.effect_sizes import Measure
    from nwbswitch.analysis.meta_analysis.tau2 import Method

    assert set(_MEASURES) == set(get_args(Measure))
    assert set(_TAU2) == set(get_args(Method))


def test_everything_at_once_is_kept_and_found_done(trials, tmp_path):
    out = tmp_path / "meta.json"
    asked = [trials, "--slab", "author", "--leave-one-out", "--leave-out", "lab", "--cumulative", "year"]
    asked += ["--influence", "--small-study", "--robust", "cr2", "--cluster", "lab", "-o", out]
    asked += ["--forest", tmp_path / "f.svg", "--funnel", tmp_path / "g.pdf"]
    done = _run(*asked)
    assert done.exit_code == 0, done.output
    for words in ("Without each lab", "Cumulative by year", "Influence of", "Small-study effects", "CR2"):
        assert words in done.output
    held = json.loads(out.read_text())
    parts = {"leave_one_out", "leave_out", "cumulative", "influence", "small_study", "robust"}
    assert parts <= set(held)
    assert "permutation" not in held
    assert held["estimate"] == pytest.approx(-0.714532342158144, rel=1e-9)
    assert (tmp_path / "f.svg").read_text().startswith("<?xml")
    assert (tmp_path / "g.pdf").read_bytes().startswith(b"%PDF")
    before = out.read_bytes()
    assert _run(*asked).exit_code == 0
    assert out.read_bytes() == before
    with pytest.raises(ExistingOutputError, match="--overwrite"):
        _run(trials, "--method", "dl", "-o", out)
    assert _run(trials, "--method", "dl", "-o", out, "--overwrite").exit_code == 0


def test_json_is_what_was_printed(trials):
    done = _run(trials, "--json", "--permutation", "--method", "dl", "--seed", "3")
    found = json.loads(done.output)
    assert found["permutation"]["seed"] == 3
    assert found["permutation"]["exact"] is False
    assert found["k"] == 13


def test_what_is_refused_is_said_with_status_1(tmp_path):
    path = tmp_path / "few.csv"
    BCG.iloc[:6].to_csv(path, index=False)
    # The entry point of the program turns what a command returns into its exit status.
    done = _run(path, "--small-study", "--funnel", tmp_path / "f.svg", standalone_mode=False)
    assert done.return_value == 1
    assert _run(path, "--influence", standalone_mode=False).return_value == 0
    assert "Meta-analysis of 6 studies" in done.output
    assert done.output.count("fewer than 10") == 2
    assert not (tmp_path / "f.svg").exists()
    assert set(json.loads(_run(path, "--small-study", "--json").output)["refused"]) == {"small_study"}
    help_text = _run("--help").output
    assert "anyway" not in help_text
    assert "force" not in help_text


def test_published_numbers_become_effect_sizes_first(tmp_path):
    table = pd.DataFrame(TOOLS["effect_sizes"]["independent"]["data"]).rename(
        columns={"m1i": "mean ketamine"}
    )
    table["paper"] = [f"paper {i}" for i in range(9)]
    table["sd1i"] = table["sd1i"].astype(object)
    table.loc[4, "sd1i"] = "n.r."
    path = tmp_path / "papers.csv"
    table.to_csv(path, index=False)
    done = _run(path, "--measure", "SMD", "--columns", "m1i=mean ketamine", "--slab", "paper")
    assert done.exit_code == 0
    assert "8 of 9 rows" in done.output
    assert "row 5 (paper 4): sd1i is 'n.r.', expected a number" in done.output
    found = meta_tables([path], measure="SMD", columns={"m1i": "mean ketamine"}, slab="paper").as_dict()
    assert found["k"] == 8
    assert found["sizes"]["rejected"][0]["label"] == "paper 4"
    assert [each["label"] for each in found["studies"]] == [f"paper {i}" for i in range(9) if i != 4]


def test_estimates_of_several_data_sets(datasets):
    report = meta_tables(datasets, where="level == 'arm' and estimand == 'M'")
    assert report.fit.k == 4
    assert report.fit.unit == "study"
    assert report.fit.studies["label"].tolist() == ["d0", "d1", "d2", "d3"]
    assert report.fit.info["warnings"][0].startswith("There are 4 studies")
    named = meta_tables(datasets, estimands=["M"], arm="ketamine")
    assert named.fit.coefficients[0].estimate == pytest.approx(report.fit.coefficients[0].estimate, rel=1e-12)
    assert "effects" in named.as_dict()
    both = meta_tables(datasets, estimands=["M", "SW"])
    assert [each.term for each in both.fit.coefficients] == ["estimandM", "estimandSW"]


def test_two_data_sets_are_listed_not_pooled(datasets):
    done = _run(*datasets[:2], "--estimand", "M")
    assert done.exit_code == 0
    assert "2 studies: listed, not pooled" in done.output
    assert "d1" in done.output


def test_animals_of_one_data_set_say_that_they_are_animals(datasets):
    report = meta_tables(datasets[:1], where="level == 'animal' and estimand == 'M'", slab="animal")
    assert report.fit.unit == "animal"
    assert report.fit.info["warnings"] == []
    assert report.fit.studies["label"].tolist() == [f"0{i}" for i in range(6)]
    assert "The unit is the animal" in report.summary()
    several = meta_tables(datasets, where="level == 'animal' and estimand == 'M'")
    assert "Animals of 4 datasets" in several.fit.info["warnings"][0]


def test_dependent_effects_with_a_known_covariance(trials, tmp_path):
    V = np.diag(BCG["vi"])
    V[0, 4] = V[4, 0] = 0.3 * np.sqrt(V[0, 0] * V[4, 4])
    np.savetxt(tmp_path / "V.csv", V, delimiter=",")
    expected = multilevel(BCG, effect="yi", V=V, random="~ 1 | lab/study")
    report = meta_tables([trials], random=["~ 1 | lab/study"], V=tmp_path / "V.csv")
    assert report.fit.table()["estimate"].tolist() == pytest.approx(
        expected.table()["estimate"].tolist(), rel=1e-9
    )
    questions = MetaQuestions(robust="CR2", cluster="lab")
    correlated = meta_tables(
        [trials], random=["~ 1 | study"], rho=0.4, where="ablat > 15", questions=questions
    )
    assert correlated.fit.k == int((BCG["ablat"] > 15).sum())
    assert correlated.robust is not None
    assert len(correlated.robust.labels) == BCG[BCG["ablat"] > 15]["lab"].nunique()
    assert "CR2" in correlated.summary()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"columns": {"m1i": "a"}}, "say which measure"),
        ({"measure": "SMD", "estimands": ["M"]}, "give one of them"),
        ({"arm": "ketamine"}, "name the estimand"),
        ({"rho": 0.5}, "give random"),
        ({"random": ["~ 1 | lab"], "rho": 0.5}, "rho needs cluster"),
        ({"random": ["~ 1 | lab"], "weights": "weights"}, "leave random out"),
        ({"random": ["~ 1 | lab/study"], "method": "dl"}, "reml or ml"),
        ({"random": ["~ 1 | lab/study"], "test": "knha"}, "z or t"),
        (
            {"random": ["~ 1 | lab/study"], "questions": MetaQuestions(influence=True)},
            "influence: of independent",
        ),
        ({"questions": MetaQuestions(robust="CR2")}, "robust needs cluster"),
        ({"estimands": ["M"]}, "estimates tables"),
        ({"forest": Path("f.txt")}, "expected .svg, .pdf or .png"),
        ({"forest": Path("f.svg"), "random": ["~ 1 | lab/study"]}, "of independent effects"),
    ],
)
def test_what_does_not_go_together_is_said(trials, more, words):
    with pytest.raises(ValueError, match=".") as caught:
        meta_tables([trials], **more)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("1,0\n0,1\n", "holds 2 rows of 2; the table has 13 rows"),
        ("a,b\n1,2\n", "no matrix of numbers"),
        ("", "holds"),
        ("1,2\n1\n", "no matrix of numbers"),
    ],
)
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_a_covariance_that_is_none_is_refused(trials, tmp_path, content, words):
    (tmp_path / "V.csv").write_text(content)
    with pytest.raises(InputFileError, match=words):
        meta_tables([trials], random=["~ 1 | lab/study"], V=tmp_path / "V.csv")


def test_tables_of_two_kinds_are_refused(trials, datasets):
    with pytest.raises(InputFileError, match="no table of estimates"):
        meta_tables([datasets[0], trials])


def test_a_table_without_any_effect_size_fails_with_the_reason(tmp_path):
    path = tmp_path / "t.csv"
    pd.DataFrame({"yi": [0.1], "pi": ["< .05"]}).to_csv(path, index=False)
    with pytest.raises(FitError, match=r"Row 1: .*not a bound"):
        meta_tables([path], measure="GEN")


def test_a_wrong_role_is_wrong_usage(trials):
    done = _run(trials, "--measure", "SMD", "--columns", "m1i")
    assert done.exit_code == 2
    assert "ROLE=COLUMN" in done.output
    assert _run(trials, "--measure", "SMD", "--columns", "x=yi").exit_code == 2


def test_own_weights_and_levels_reach_the_model(trials):
    done = _run(trials, "--weights", "weights", "--method", "genq", "--level", "0.9", "--test", "z", "--json")
    direct = meta(BCG, effect="yi", variance="vi", weights="weights", method="genq", level=0.9, test="z")
    assert json.loads(done.output)["ci_low"] == pytest.approx(direct.coefficients[0].ci_low, rel=1e-12)


def test_the_report_says_that_animals_were_listed_and_not_pooled(datasets):
    from nwbswitch.analysis.reporting.pooling_section import _meta_words

    two = pd.read_csv(datasets[0]).query("level == 'animal' and estimand == 'M'").iloc[:2]
    found = meta(two, effect="estimate", variance="se**2").as_dict()
    assert _meta_words(found) == "2 animals: listed, not pooled, since a pooled effect needs 3."
