"""Effects of several studies and their covariance, from simulated studies and by hand."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.meta_analysis.animal_influence import arm_influence, influence_table
from nwbswitch.analysis.meta_analysis.study_effects import study_effects
from nwbswitch.analysis.simulation.count_studies import SCENARIOS, simulate_study
from nwbswitch.analysis.verdicts.switch import switch_sessions
from nwbswitch.schemas.errors import FitError
from nwbswitch.schemas.tables import ESTIMATES

NAMES = ("SW", "rho_star", "M", "G")


@pytest.fixture(scope="module")
def results():
    rng = np.random.default_rng(1)
    found = []
    for place, design in enumerate(("crossover", "between", "crossover")):
        sessions = simulate_study(SCENARIOS["swap"], n_animals=5, rng=rng, design=design, n_neurons=30)
        found.append(switch_sessions([replace(each, dataset=f"d{place}") for each in sessions], draws=4))
    return found


@pytest.fixture(scope="module")
def tables(results):
    return [each.table() for each in results]


def row(
    dataset, estimand, *, level="arm", animal="", arm="ketamine", contrast="vs_saline", estimate=1.0, **other
):
    values = {
        "dataset": dataset, "arm": arm, "cell_type": "excitatory", "contrast": contrast, "level": level,
        "animal": animal, "estimand": estimand, "k": 0, "estimate": estimate, "se": 0.5, "ci_low": 0.0,
        "ci_high": 2.0, "df": 3.0, "p": 0.2, "n_animals": 4, "n_sessions": 8, "n_neurons": 100,
        "status": "ok", "simulated": False,
    }  # fmt: skip
    return {**values, **other}


def by_hand(datasets=("a", "b", "c"), **other):
    """Return a table in which the animals' own estimates are known."""
    rng = np.random.default_rng(2)
    rows = []
    for dataset in datasets:
        own = rng.normal(size=(4, 2))
        for place, estimand in enumerate(("SW", "rho_star")):
            values = own[:, place]
            rows.append(row(dataset, estimand, estimate=values.mean(), se=values.std(ddof=1) / 2, **other))
            rows += [
                row(dataset, estimand, level="animal", animal=f"m{i}", estimate=value)
                for i, value in enumerate(values)
            ]
    return ESTIMATES.checked(pd.DataFrame(rows))


def test_influence_is_the_jackknife_of_the_table(results, tables):
    for result, table in zip(results, tables, strict=True):
        found = influence_table(result, estimands=NAMES)
        se = found.groupby(["arm", "contrast", "estimand"])["influence"].apply(
            lambda each: np.sqrt((each**2).sum())
        )
        arms = table[(table["level"] == "arm")].set_index(["arm", "contrast", "estimand"])["se"]
        assert ("ketamine", "vs_saline", "M") in se.index
        assert se.to_numpy() == pytest.approx(arms[se.index].to_numpy(), rel=1e-9)


def test_covariance_of_two_estimands_is_that_of_the_jackknife(results, tables):
    influence = pd.concat([influence_table(each, estimands=NAMES) for each in results])
    found = study_effects(tables, estimands=("SW", "rho_star"), influence=influence)
    V = np.asarray(found.V)
    assert found.rows["study"].tolist() == ["d0", "d0", "d1", "d1", "d2", "d2"]
    assert np.sqrt(np.diagonal(V)) == pytest.approx(found.rows["se"].to_numpy(), rel=1e-12)
    for place, result in enumerate(results):
        arm = result.arms["ketamine"]
        one, two = (arm_influence(arm, (name, 0), contrast="vs_saline") for name in ("SW", "rho_star"))
        expected = sum(one[animal] * two[animal] for animal in one)
        assert V[2 * place, 2 * place + 1] == pytest.approx(expected, rel=1e-9)
    assert not V[:2, 2:].any()
    # Delete-one of the pooled ratio, by hand, in the parallel groups.
    drug, saline = results[1].arms["ketamine"].drug, results[1].arms["saline"].drug
    values = {}
    for sums in (drug, saline):
        left = sums.layout.drive(sums.sums.sum(axis=0) - sums.sums)
        both = left[:, 1] + left[:, 3]
        g = np.log2((left[:, 0] / left[:, 1] + 1 / both) / (left[:, 2] / left[:, 3] + 1 / both))
        values[sums is drug] = np.sqrt(4 / 5) * (g.mean() - g)
    found = arm_influence(results[1].arms["ketamine"], ("G", 0), contrast="vs_saline")
    assert [found[name] for name in drug.animals] == pytest.approx(values[True], rel=1e-9)
    assert [found[name] for name in saline.animals] == pytest.approx(-values[False], rel=1e-9)


def test_the_animals_own_estimates_come_near_the_jackknife(results, tables):
    influence = pd.concat([influence_table(each, estimands=NAMES) for each in results])
    exact, near = (study_effects(tables, influence=each) for each in (influence, None))
    assert np.diagonal(np.asarray(exact.V)) == pytest.approx(np.diagonal(np.asarray(near.V)))
    correlations = []
    for found in (exact, near):
        se = found.rows["se"].to_numpy()
        correlations.append((np.asarray(found.V) / np.outer(se, se))[[0, 2, 4], [1, 3, 5]])
    # Means of five animals against ratios of their sums: alike, not the same.
    assert correlations[0] == pytest.approx(correlations[1], abs=0.35)


def test_covariance_by_hand_within_animals():
    table = by_hand()
    found = study_effects(table)
    V = np.asarray(found.V)
    animals = table[table["level"] == "animal"].pivot(
        index=["dataset", "animal"], columns="estimand", values="estimate"
    )
    for place, dataset in enumerate("abc"):
        # Effects are in the order of their names, SW before rho_star.
        observed = np.cov(animals.loc[dataset][["SW", "rho_star"]].T) / 4
        assert V[2 * place : 2 * place + 2, 2 * place : 2 * place + 2] == pytest.approx(observed, rel=1e-9)
    assert found.rows["estimand"].tolist()[:2] == ["SW", "rho_star"]


def test_doses_against_the_same_saline_animals():
    rng = np.random.default_rng(3)
    saline, low, high = (rng.normal(size=5) for _ in range(3))
    rows = []
    for arm, values in (("low", low), ("high", high), ("saline", saline)):
        rows += [
            row("a", "SW", level="animal", animal=f"{arm}{i}", arm=arm, contrast="drug", estimate=value)
            for i, value in enumerate(values)
        ]
        if arm != "saline":
            se = np.sqrt(values.var(ddof=1) / 5 + saline.var(ddof=1) / 5)
            rows.append(row("a", "SW", arm=arm, se=se, estimate=values.mean() - saline.mean()))
    found = study_effects(ESTIMATES.checked(pd.DataFrame(rows)), estimands=("SW",))
    assert found.rows["arm"].tolist() == ["high", "low"]
    assert np.asarray(found.V)[0, 1] == pytest.approx(saline.var(ddof=1) / 5, rel=1e-9)


def test_datasets_share_animals_only_if_that_is_said():
    table = by_hand()
    apart, shared = study_effects(table), study_effects(table, same_animals=[("a", "b")])
    assert apart.n_studies == 3
    assert not np.asarray(apart.V)[:2, 2:4].any()
    assert shared.n_studies == 2
    assert shared.rows["study"].tolist()[:4] == ["a + b"] * 4
    animals = table[(table["level"] == "animal") & (table["estimand"] == "SW")].pivot(
        index="animal", columns="dataset", values="estimate"
    )
    assert np.asarray(shared.V)[0, 2] == pytest.approx(np.cov(animals["a"], animals["b"])[0, 1] / 4, rel=1e-9)
    with pytest.raises(ValueError, match="no dataset 'z'"):
        study_effects(table, same_animals=[("a", "z")])


def test_fewer_than_three_studies_are_listed_and_not_pooled():
    found = study_effects(by_hand(("a", "b")))
    assert len(found.table()) == 4
    assert "listed, not pooled" in found.summary()
    with pytest.raises(FitError, match="2 studies: listed, not pooled, since a pooled effect needs 3"):
        found.pool()


def test_pooling_keeps_both_estimands_together():
    datasets = tuple("abcdefgh")
    found = study_effects(by_hand(datasets))
    fit = found.pool()
    assert [each.term for each in fit.coefficients] == ["estimandSW", "estimandrho_star"]
    assert fit.ddf.tolist() == [7.0, 7.0]
    assert fit.info["n_blocks"] == 8
    alone = study_effects(by_hand(datasets), estimands=("SW",)).pool()
    assert alone.random == ("~ 1 | study",)
    assert alone.k == 8
    assert found.summary().startswith("16 effects of 8 studies")
    assert study_effects(by_hand(simulated=True)).summary().startswith("SIMULATED DATA. 6 effects")
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["info"]["estimands"] == ["SW", "rho_star"]


def test_what_has_no_effect_is_listed_with_its_reason():
    table = by_hand()
    lost = (table["dataset"] == "b") & (table["estimand"] == "rho_star") & (table["level"] == "arm")
    table.loc[lost, ["status", "estimate", "se"]] = ["not estimable: too few", np.nan, np.nan]
    found = study_effects(table)
    assert len(found.rows) == 5
    assert found.left_out[["dataset", "estimand", "status"]].to_numpy().tolist() == [
        ["b", "rho_star", "not estimable: too few"]
    ]
    assert "Left out: b ketamine excitatory rho_star: not estimable: too few" in found.summary()
    # Without animals there is no covariance; alone in its study an effect needs none.
    arms = by_hand()
    arms = arms[arms["level"] == "arm"]
    with pytest.raises(FitError, match="covariance with others is not known"):
        study_effects(arms)
    assert len(study_effects(arms, estimands=("SW",)).rows) == 3


def test_what_is_asked_for_wrongly_is_said():
    table = by_hand()
    with pytest.raises(ValueError, match="no estimand 'SWW'"):
        study_effects(table, estimands=("SWW",))
    with pytest.raises(FitError, match="No dataset has SW or rho_star"):
        study_effects(table, contrast="vs_vehicle")
    with pytest.raises(FitError, match="No dataset has SW or rho_star"):
        study_effects(table, cell_type="PV")
    with pytest.raises(FitError, match="belongs into the table once"):
        study_effects([table, table])
    with pytest.raises(ValueError, match="no table"):
        study_effects([])
    assert len(study_effects(table, contrast=("vs_vehicle", "vs_saline")).rows) == 6
