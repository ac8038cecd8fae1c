"""`nwbswitch fit`: every option answers, has its twin in Python, and wrong combinations are wrong usage."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import get_args

import click
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from nwbswitch.analysis.fit_questions import Family, Robust
from nwbswitch.analysis.formulas.coding import Contrasts
from nwbswitch.analysis.inference.anova import AnovaType
from nwbswitch.analysis.inference.contrasts import ContrastMethod
from nwbswitch.analysis.inference.inference import Ddf
from nwbswitch.analysis.inference.multiplicity import Adjust
from nwbswitch.analysis.mixed.deviance import Method
from nwbswitch.analysis.mixed.prepare import Engine
from nwbswitch.analysis.mixed.result_tables import Format
from nwbswitch.analysis.runs.models import fit_table
from nwbswitch.analysis.summaries.summarise import summarise
from nwbswitch.cli_fit import fit
from nwbswitch.schemas.errors import NwbswitchError

FORMULA = "y ~ drug * epoch + (1 + epoch | animal) + (1 | neuron)"


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    rng = np.random.default_rng(3)
    index = pd.MultiIndex.from_product([range(10), range(6), range(2), range(2)])
    frame = index.to_frame(index=False, name=["animal", "cell", "epoch", "rep"])
    frame["neuron"] = [f"n{a}-{c}" for a, c in zip(frame["animal"], frame["cell"], strict=True)]
    frame["drug"] = np.where(frame["animal"] % 2, "ketamine", "saline")
    frame["w"] = rng.uniform(0.5, 2.0, len(frame))
    effect = 0.8 * (frame["drug"] == "ketamine") * frame["epoch"]
    slope = rng.normal(0.0, 0.3, 10)[frame["animal"]] * frame["epoch"]
    frame["y"] = effect + slope + rng.normal(0.0, 0.5, 10)[frame["animal"]]
    frame["y"] += rng.normal(0.0, 0.7, 60)[pd.factorize(frame["neuron"])[0]] + rng.normal(size=len(frame))
    frame["epoch"] = np.where(frame["epoch"] == 1, "post", "pre")
    frame["yes"] = rng.binomial(8, 1.0 / (1.0 + np.exp(-(frame["y"] - 0.5))))
    frame["no"] = 8 - frame["yes"]
    frame["trials"] = 8
    frame.loc[frame.index[:3], "y"] = np.nan
    path = tmp_path_factory.mktemp("fit") / "cells.csv"
    frame.to_csv(path, index=False)
    return path


def run(*arguments: object, formula: str = FORMULA) -> Result:
    return CliRunner().invoke(fit, [*map(str, arguments), "--formula", formula])


def answer(*arguments: object, formula: str = FORMULA) -> dict:
    done = run(*arguments, "--json", formula=formula)
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


def test_every_option_has_its_twin_in_python():
    options = {each.name for each in fit.params} - {"format", "as_json"}
    assert set(inspect.signature(fit_table).parameters) == options


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("method", Method),
        ("ddf", Ddf),
        ("contrasts", Contrasts),
        ("anova", AnovaType),
        ("family", Family),
        ("robust", Robust),
        ("engine", Engine),
        ("contrast", ContrastMethod),
        ("adjust", Adjust),
        ("format", Format),
    ],
)
def test_choices_are_those_of_python(name, words):
    option = next(each for each in fit.params if each.name == name)
    assert isinstance(option.type, click.Choice)
    assert tuple(option.type.choices) == get_args(words)


def test_defaults_are_those_of_python(table):
    python = inspect.signature(fit_table).parameters
    given = fit.make_context("fit", [str(table), "--formula", FORMULA]).params
    for name, value in given.items():
        if name in python and name not in ("table", "formula"):
            assert value == python[name].default, name


def test_help_has_headings():
    text = CliRunner().invoke(fit, ["--help"]).output
    for heading in ("Model:", "Tests:", "Marginal means:", "Intervals:", "Output:"):
        assert heading in text
    for option in fit.params:
        if isinstance(option, click.Option):
            assert option.opts[-1] in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--by", "epoch"], "needs marginal_means"),
        (["--contrast", "pairwise"], "needs marginal_means"),
        (["--marginal-means", "drug", "--adjust", "holm"], "needs contrast"),
        (["--equivalence", "epochpre"], "belong together"),
        (["--margin", "0.2"], "belong together"),
        (["--margin", "-1", "--equivalence", "epochpre"], "range"),
        (["--plots", "page.html"], ".png"),
        (["--trials", "trials"], "family"),
        (["--bootstrap", "0"], "range"),
        (["--ddf", "between-within"], "kenward-roger"),
    ],
)
def test_a_wrong_combination_is_wrong_usage(table, arguments, words):
    done = run(table, *arguments)
    assert done.exit_code == 2
    assert words in done.output


def test_kenward_roger_is_the_default_and_rules_all_tables(table):
    found = answer(table)
    assert found["ddf"] == found["info"]["ddf"] == "kenward-roger"
    other = answer(table, "--ddf", "satterthwaite")
    assert found["anova"][2]["den_df"] != other["anova"][2]["den_df"]
    assert found["criterion"] == other["criterion"]
    assert found["info"]["missing"] == {"y": 3}
    assert "Kenward-Roger" in run(table).output


def test_each_question_has_its_answer(table):
    found = answer(
        table,
        *("--anova", "II", "--marginal-means", "drug", "--by", "epoch"),
        *("--contrast", "pairwise", "--adjust", "holm", "--robust", "CR2"),
        *("--equivalence", "epochpre", "--margin", "0.5", "--permutation", "drug"),
    )
    assert [each["drug"] for each in found["marginal_means"]["means"]] == ["ketamine", "saline"] * 2
    assert found["contrasts"]["adjust"] == "holm"
    assert len(found["contrasts"]["contrasts"]) == 2
    assert found["equivalence"]["tests"][0]["verdict"] in ("equivalent", "not shown")
    assert found["robust"]["n_clusters"] == 10
    assert found["permutation"]["n_arrangements"] == 252  # 10 animals, 5 of each arm
    assert found["anova"][0]["f"] != answer(table)["anova"][0]["f"]


def test_intervals_from_profiles_and_draws(table):
    found = answer(table, "--profile", "--bootstrap", "20", "--seed", "4", formula="y ~ drug + (1 | animal)")
    assert [each["term"] for each in found["profile"]["intervals"]] == [
        "sd_(Intercept)|animal",
        "sigma",
        "(Intercept)",
        "drugsaline",
    ]
    assert (found["bootstrap"]["n"], found["bootstrap"]["seed"]) == (20, 4)
    assert "at least 39 fitted draws, and there are 20" in found["bootstrap"]["notes"][0]
    arguments = ("--bootstrap", "20", "--seed", "4", "--workers", "2")
    assert answer(table, *arguments, formula="y ~ drug + (1 | animal)")["bootstrap"] == found["bootstrap"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--marginal-means", "dose"], "'dose' is no variable"),
        (["--equivalence", "dose", "--margin", "1"], "dose"),
        (["--permutation", "dose"], "dose"),
        (["--marginal-means", "drug:"], "is no list of variables"),
    ],
)
def test_a_name_that_the_model_does_not_have_is_wrong_usage(table, arguments, words):
    done = run(table, *arguments)
    assert done.exit_code == 2
    assert words in done.output


def test_a_folder_of_summaries_gives_the_same(table, tmp_path):
    summarise([table], FORMULA, out=tmp_path / "sums", quiet=True)
    ours, theirs = answer(tmp_path / "sums"), answer(table)
    assert ours["criterion"] == pytest.approx(theirs["criterion"], rel=1e-10)
    assert ours["info"]["missing"] == theirs["info"]["missing"]
    for one, other in zip(ours["fixed"], theirs["fixed"], strict=True):
        assert one["estimate"] == pytest.approx(other["estimate"], rel=1e-7)
        assert one["df"] == pytest.approx(other["df"], rel=1e-6)
    done = run(tmp_path / "sums", "--where", "rep == 0")
    assert done.exit_code == 2
    assert "summaries have their own" in done.output


BINOMIAL = "cbind(yes, no) ~ drug * epoch + (1 | animal)"


def test_yes_and_no_are_a_family(table):
    found = answer(table, "--family", "binomial", formula=BINOMIAL)
    assert found["family"] == "binomial"
    assert found["fixed"][0]["term"] == "(Intercept)"
    assert r"\toprule" in run(table, "--family", "binomial", "--format", "latex", formula=BINOMIAL).output


@pytest.mark.parametrize(
    "arguments",
    [["--ddf", "kenward-roger"], ["--method", "ml"], ["--weights", "w"], ["--robust", "CR2"], ["--profile"]],
)
def test_what_a_binomial_model_does_not_answer_is_wrong_usage(table, arguments):
    done = run(table, "--family", "binomial", *arguments, formula=BINOMIAL)
    assert done.exit_code == 2
    assert "not with family='binomial'" in done.output


@pytest.mark.parametrize("kind", ["markdown", "latex"])
def test_tables_for_papers(table, kind):
    text = run(table, "--format", kind, "--marginal-means", "drug").output
    assert {"markdown": "| :---", "latex": r"\toprule"}[kind] in text
    assert "drugsaline" in text


def test_a_result_says_how_it_was_made(table, tmp_path):
    out, plots = tmp_path / "fit.json", tmp_path / "page.png"
    arguments = [table, "-o", out, "--plots", plots, "--equivalence", "epochpre", "--margin", "0.3"]
    assert run(*arguments).exit_code == 0
    assert plots.read_bytes()[:4] == b"\x89PNG"
    kept = json.loads(out.read_text())["provenance"]["parameters"]
    assert set(kept) == set(inspect.signature(fit_table).parameters) - {
        "table",
        "out",
        "overwrite",
        "seed",
        "workers",
        "plots",
    }
    assert kept["margin"] == 0.3
    assert run(*arguments).exit_code == 0  # the same work is done already
    done = run(table, "-o", out)
    assert isinstance(done.exception, NwbswitchError)
    assert done.exception.exit_status == 2


def test_another_picture_is_not_overwritten(table, tmp_path):
    plots = tmp_path / "page.svg"
    plots.write_text("mine")
    done = run(table, "--plots", plots)
    assert isinstance(done.exception, NwbswitchError)
    assert done.exception.exit_status == 2
    assert plots.read_text() == "mine"
    assert run(table, "--plots", plots, "--overwrite").exit_code == 0
    assert "<svg" in plots.read_text()
