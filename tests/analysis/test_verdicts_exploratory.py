"""Rows of the exploratory estimands: jackknife and permutations by brute force, honest where animals lack."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from counted_windows import of_counts, session

from nwbswitch.analysis.estimands.counts import DRUG
from nwbswitch.analysis.estimands.families import family_sums, paired_windows
from nwbswitch.analysis.estimands.transitions import NAMES, rate_table, transitions
from nwbswitch.analysis.simulation.count_studies import simulate_study
from nwbswitch.analysis.simulation.scenarios import SCENARIOS, Scenario
from nwbswitch.analysis.verdicts.arm_analysis import analyse_arms
from nwbswitch.analysis.verdicts.estimates_table import estimates_table
from nwbswitch.analysis.verdicts.exploratory import EXPLORATORY, FAMILIES, exploratory_rows
from nwbswitch.schemas.worlds import World


def _table(sessions, *, reference="saline"):
    arms = analyse_arms(sessions, reference=reference, margin=0.25, limits=(5,), draws=1, seed=0)
    rows = exploratory_rows({"excitatory": arms}, dataset="made", simulated=True)
    return estimates_table(rows)


@pytest.fixture(scope="module")
def sessions():
    rng = np.random.default_rng(0)
    return simulate_study(Scenario(World.SWAP), n_animals=6, n_neurons=[40, 50], window_s=600, rng=rng)


@pytest.fixture(scope="module")
def table(sessions):
    return _table(sessions)


def _row(table, name, *, arm="ketamine", contrast="drug", animal=""):
    found = table[
        (table["estimand"] == name)
        & (table["arm"] == arm)
        & (table["contrast"] == contrast)
        & (table["animal"] == animal)
    ]
    assert len(found) == 1
    return found.iloc[0]


def _sums(sessions, family, arm):
    own = {each.animal: each for each in sessions if each.arm == arm}
    return {name: family_sums(family, *paired_windows(each, DRUG)[:2]) for name, each in sorted(own.items())}


FAMILY_OF = {name: family for family in FAMILIES.values() for name in family.estimands}


def test_every_estimand_is_there_at_both_levels_and_in_all_contrasts(table):
    assert set(table["estimand"]) == set(EXPLORATORY)
    assert set(table["role"]) == {"exploratory"}
    counts = table.groupby(["arm", "contrast", "level"]).size()
    n = len(EXPLORATORY)
    for arm, contrasts in (("ketamine", ("drug", "pseudo", "vs_saline")), ("saline", ("drug", "pseudo"))):
        for contrast in contrasts:
            assert counts[arm, contrast, "arm"] == n
            assert counts[arm, contrast, "animal"] == 6 * n


@pytest.mark.parametrize(
    "name", ["overlap_log_or", "overlap_dice", "beta_iv", "rho_log", "naive_down_excess"]
)
def test_an_arm_is_a_ratio_of_sums_with_a_jackknife_over_animals(sessions, table, name):
    family = FAMILY_OF[name]
    sums = _sums(sessions, family, "ketamine")

    def pooled(animals):
        return float(family.estimands[name](sum(sums[animal] for animal in animals)))

    left = [pooled([other for other in sums if other != animal]) for animal in sums]
    se = math.sqrt(5 / 6 * sum((each - np.mean(left)) ** 2 for each in left))
    row = _row(table, name)
    assert row["estimate"] == pytest.approx(pooled(sums), rel=1e-10)
    assert row["se"] == pytest.approx(se, rel=1e-9)
    # 97.5 % quantile of t with 5 degrees of freedom.
    assert row["ci_high"] - row["estimate"] == pytest.approx(2.570581835636314 * se, rel=1e-9)
    assert math.isnan(row["p"])


@pytest.mark.parametrize("name", ["overlap_log_or", "beta_iv", "rho_log"])
def test_the_difference_is_within_animals_with_an_exact_p(sessions, table, name):
    family = FAMILY_OF[name]
    drug, saline = (_sums(sessions, family, arm) for arm in ("ketamine", "saline"))
    animals = list(drug)

    def difference(some, swapped=()):
        one = sum((saline if animal in swapped else drug)[animal] for animal in some)
        two = sum((drug if animal in swapped else saline)[animal] for animal in some)
        return float(family.estimands[name](one) - family.estimands[name](two))

    row = _row(table, name, contrast="vs_saline")
    left = [difference([other for other in animals if other != animal]) for animal in animals]
    se = math.sqrt(5 / 6 * sum((each - np.mean(left)) ** 2 for each in left))
    assert row["estimate"] == pytest.approx(difference(animals), rel=1e-10)
    assert row["se"] == pytest.approx(se, rel=1e-9)
    subsets = itertools.chain.from_iterable(itertools.combinations(animals, n) for n in range(7))
    found = [abs(difference(animals, swapped)) for swapped in subsets]
    extreme = [not each < found[0] * (1 - 1e-9) for each in found]
    assert row["p"] == pytest.approx(np.mean(extreme))


def test_an_animal_has_its_own_value_with_the_spread_of_its_neurons(sessions, table):
    sums = _sums(sessions, FAMILIES["overlap"], "ketamine")["m02"]
    row = _row(table, "overlap_log_or", animal="m02")
    family = FAMILIES["overlap"]
    assert row["estimate"] == pytest.approx(float(family.estimands["overlap_log_or"](sums)))
    assert row["se"] == pytest.approx(math.sqrt(family.variances["overlap_log_or"](sums)))
    assert row["n_animals"] == 1
    assert math.isnan(row["ci_low"])


def test_the_spread_over_neurons_is_that_of_repeated_samples():
    """Standard errors of animals against the scatter of the estimates of many alike, 60 neurons each."""
    rng = np.random.default_rng(1)
    study = simulate_study(Scenario(World.DRIFT), n_animals=60, n_neurons=60, rng=rng)
    table = _table(study)
    own = table[(table["level"] == "animal") & (table["contrast"] == "drug") & (table["arm"] == "ketamine")]
    for name in ("beta_iv", "overlap_dice", "naive_down_halves"):
        rows = own[own["estimand"] == name]
        assert np.sqrt((rows["se"] ** 2).mean()) == pytest.approx(rows["estimate"].std(), rel=0.3)


def test_transitions_are_fitted_with_and_without_each_animal(sessions, table):
    own = {each.animal: each for each in sessions if each.arm == "ketamine"}
    pairs = [[paired_windows(own[animal], DRUG)[:2]] for animal in sorted(own)]
    fits = rate_table(pairs)
    values, state = transitions(fits, np.arange(6))
    left = [transitions(fits, np.array([i for i in range(6) if i != out]))[0] for out in range(6)]
    assert state == "ok"
    for place, name in enumerate(NAMES):
        row = _row(table, name)
        se = math.sqrt(5 / 6 * ((np.array(left)[:, place] - np.mean(left, axis=0)[place]) ** 2).sum())
        assert row["estimate"] == pytest.approx(values[place], abs=1e-9)
        assert row["se"] == pytest.approx(se, abs=1e-9)
        assert math.isnan(row["p"])


def test_between_animals_the_degrees_of_freedom_are_welchs():
    rng = np.random.default_rng(2)
    study = simulate_study(SCENARIOS["swap"], n_animals=6, rng=rng, design="between")
    table = _table(study)
    row = _row(table, "beta_iv", contrast="vs_saline")
    variances = [_row(table, "beta_iv", arm=arm)["se"] ** 2 for arm in ("ketamine", "saline")]
    assert row["se"] == pytest.approx(math.sqrt(sum(variances)))
    assert row["df"] == pytest.approx(sum(variances) ** 2 / sum(each**2 / 5 for each in variances))
    assert row["n_animals"] == 12
    assert 2 / math.comb(12, 6) <= row["p"] <= 1
    assert not (table["contrast"] == "vs_saline")[table["level"] == "animal"].any()


@pytest.mark.parametrize("n_animals", [1, 5])
def test_few_animals_have_no_p_and_one_has_no_interval(n_animals):
    study = simulate_study(SCENARIOS["swap"], n_animals=n_animals, rng=np.random.default_rng(3))
    table = _table(study)
    assert table["p"].isna().all()
    row = _row(table, "beta_iv")
    assert math.isfinite(row["estimate"])
    assert math.isfinite(row["se"]) == (n_animals > 1)
    if n_animals == 1:
        assert row["status"] == "no interval: needs >= 2 animals"


def test_sessions_without_windows_make_no_rows_and_short_ones_say_why():
    rng = np.random.default_rng(4)
    empty = [session({"baseline": of_counts(rng.poisson(2.0, (20, 4)))}, animal="m1")]
    assert _table(empty, reference=None).empty
    rates = rng.gamma(1.0, 2.0, (30, 1))
    made = [
        session({w: of_counts(rng.poisson(rates, (30, 2))) for w in ("baseline", "drug")}, animal=f"m{i}")
        for i in range(3)
    ]
    rows = _table(made, reference=None)
    found = rows[(rows["estimand"] == "active_to_silent") & (rows["level"] == "arm")].iloc[0]
    assert found["status"] == "not estimable: needs three or more blocks in each window"
    assert (found["n_animals"], found["n_neurons"]) == (3, 0)
    assert math.isnan(found["estimate"])
    assert math.isfinite(_row(rows, "beta_iv")["estimate"])


def test_the_order_of_sessions_does_not_matter(sessions, table):
    again = _table(sessions[::-1])
    pd.testing.assert_frame_equal(again, table)
