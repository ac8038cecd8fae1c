"""Order-adjusted differences, carry-over and repeated sessions: against R, closed forms and known truth."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from design_tables import counts
from design_tables import crossover as crossover_sessions

from nwbswitch.analysis.designs.carry_over import carry_over
from nwbswitch.analysis.designs.crossover import crossover, order_adjusted
from nwbswitch.analysis.designs.design import read_design
from nwbswitch.analysis.designs.held_sessions import held_sessions
from nwbswitch.analysis.designs.repeats import repeats
from nwbswitch.analysis.estimands.counts import SessionCounts
from nwbswitch.analysis.simulation.count_studies import Scenario, simulate_study
from nwbswitch.analysis.verdicts.switch import switch_sessions
from nwbswitch.schemas.tables import ESTIMATES

R = json.loads((Path(__file__).parents[1] / "reference" / "designs.json").read_text())["crossover"]
D = R["differences"]
"""Drug minus control in a made-up trial, the drug first in the first animals."""
FIRST = [place < R["n_first"] for place in range(len(D))]


def estimates_table(rows: list[dict[str, object]]) -> pd.DataFrame:
    blank: dict[str, object] = {
        **dict.fromkeys(("se", "ci_low", "ci_high", "df", "p", "p_holm"), math.nan),
        **dict.fromkeys(("n_animals", "n_sessions", "n_neurons"), 1),
        "dataset": "study", "arm": "ketamine", "cell_type": "excitatory", "contrast": "vs_saline",
        "level": "animal", "animal": "", "estimand": "SW", "k": 0, "status": "ok", "simulated": True,
        "session": "", "role": "descriptive",
    }  # fmt: skip
    return pd.DataFrame([{**blank, **row} for row in rows], columns=list(ESTIMATES.names))


def test_effect_and_period_are_those_of_the_two_sample_t_of_hills_and_armitage() -> None:
    found = order_adjusted(D, FIRST)
    assert (found.adjusted.df, found.n_first, found.n_second) == (7.0, 5, 4)
    assert found.plain.estimate == pytest.approx(np.mean(D), abs=1e-12)
    # Closed forms on both sides: what is left is the quantile of t.
    for own, theirs in ((found.adjusted, R["effect"]), (found.period, R["period"])):
        assert own.estimate == pytest.approx(theirs["estimate"], abs=1e-12)
        assert own.interval() == pytest.approx(theirs["ci"], abs=1e-10)


def test_p_values_are_the_share_of_orders_as_extreme() -> None:
    signed = np.where(FIRST, D, np.negative(D))

    def share(values: np.ndarray) -> float:
        def apart(chosen: tuple[int, ...]) -> float:
            inside = np.isin(np.arange(9), chosen)
            return abs(values[inside].mean() - values[~inside].mean())

        every = [apart(chosen) for chosen in combinations(range(9), 5)]
        return float(np.mean(np.array(every) >= apart((0, 1, 2, 3, 4)) * (1 - 1e-9)))

    found = order_adjusted(D, FIRST)
    assert found.adjusted.p == pytest.approx(share(signed), abs=1e-12)
    assert found.period.p == pytest.approx(share(np.array(D)), abs=1e-12)


def test_a_period_effect_in_unequal_orders_leaves_the_adjusted_effect_alone() -> None:
    rng = np.random.default_rng(1)
    first = np.array([True] * 30 + [False] * 10)
    values = 1.0 + np.where(first, -2.0, 2.0) + rng.normal(0, 0.3, 40)
    found = order_adjusted(values, first)
    assert abs(found.adjusted.estimate - 1.0) < 4 * found.adjusted.se
    assert abs(found.period.estimate - 2.0) < 4 * found.period.se
    assert found.plain.estimate < 0.3


@pytest.mark.parametrize("first", [[True, True, True], [True, False, None]])
def test_orders_that_allow_no_adjustment_give_no_number(first: list[bool | None]) -> None:
    known = [each for each in first if each is not None]
    found = order_adjusted(D[: len(known)], [bool(each) for each in known])
    assert math.isnan(found.adjusted.estimate)
    assert "both orders" in found.adjusted.status
    assert math.isfinite(found.plain.estimate)


def test_three_animals_have_an_interval_and_no_p() -> None:
    found = order_adjusted([1.0, 2.0, 4.0], [True, False, True])
    assert (found.adjusted.df, math.isnan(found.adjusted.p)) == (1.0, True)


@pytest.mark.parametrize("values", [[1.0], [1.0, math.nan]])
def test_wrong_values_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="belong together|finite"):
        order_adjusted(values, [True, False])


def test_the_table_stands_beside_the_pooled_estimate_and_counts_animals_without_a_value() -> None:
    held, _ = held_sessions(crossover_sessions(5))
    values = [1.0, 2.0, 1.4, 2.2, math.nan]
    rows = [{"animal": f"m{i + 1}", "estimate": value} for i, value in enumerate(values)]
    rows.append({"level": "arm", "estimate": 1.6, "ci_low": 1.0, "ci_high": 2.2})
    found = crossover(estimates_table(rows), held).table().iloc[0]
    # m1 and m3 had saline first, m2 and m4 ketamine.
    assert (found["n_drug_first"], found["n_drug_second"], found["n_undefined"]) == (2, 2, 1)
    assert found["adjusted"] == pytest.approx((1.2 + 2.1) / 2)
    assert found["period"] == pytest.approx((1.2 - 2.1) / 2)
    assert (found["pooled"], found["pooled_ci_low"]) == (1.6, 1.0)
    assert found["status"] == "ok; 1 of 5 animals have no value or no order"


def test_a_simulated_study_gives_a_row_per_estimand_near_the_plain_one() -> None:
    study = simulate_study(Scenario(), n_animals=6, n_neurons=30, window_s=300, rng=np.random.default_rng(3))
    held, _ = held_sessions(crossover_sessions(6))
    named = [replace(each, animal=f"m{int(each.animal[1:])}") for each in held]
    renamed = [replace(each, animal=f"m{int(each.animal[1:])}") for each in study]
    result = crossover(switch_sessions(renamed).table(), named)
    table = result.table()
    assert {"G", "SW", "rho_star", "M", "tau_c"} <= set(table["estimand"])
    # Three animals in either order: the mean of the two means is the mean.
    shown = table[table["status"] == "ok"]
    np.testing.assert_allclose(shown["adjusted"], shown["plain"], atol=1e-12)
    assert "later minus earlier" in result.summary()


def two_sessions(
    animal: str, arms: tuple[str, str], *, gain: float = 1.0, tracked: bool = True
) -> list[SessionCounts]:
    """Return two sessions whose second baseline is ``gain`` times the first."""
    times = {"baseline": [60.0 * i for i in range(10)], "drug": [900 + 60.0 * i for i in range(4)]}
    one = counts(animal, "a", arms[0], 1, windows=times, n_neurons=60)
    two = counts(animal, "b", arms[1], 2, windows=times, n_neurons=60, per_min={"baseline": gain}, seed=0)
    rates = one.windows["baseline"].events.sum(axis=1)
    rng = np.random.default_rng(len(animal) + sum(map(ord, animal)))
    events = rng.poisson(gain * rates[:, None] / 10, (60, 10)).astype(float)
    baseline = replace(two.windows["baseline"], events=events)
    two = replace(two, windows={**two.windows, "baseline": baseline})
    return [one, two if tracked else replace(two, identity=np.array([f"b/{i}" for i in range(60)]))]


def study_of_pairs(gain_after_drug: float, *, tracked: bool = True) -> list[SessionCounts]:
    pairs = []
    for i in range(8):
        drug_first = i % 2 == 0
        arms = ("ketamine", "saline") if drug_first else ("saline", "ketamine")
        pairs += two_sessions(f"m{i}", arms, gain=gain_after_drug if drug_first else 1.0, tracked=tracked)
    return pairs


def test_carry_over_is_found_where_the_drug_leaves_half_the_activity() -> None:
    found = carry_over(study_of_pairs(0.5), arm="ketamine", reference="saline")
    drive = found.difference["G"]
    # Four animals x 60 neurons x some 3 events a minute: SE of log2 about .05.
    assert drive.estimate == pytest.approx(-1.0, abs=0.2)
    assert drive.interval()[1] < 0
    assert (found.n_arm, found.n_reference, found.followed) == (4, 4, 1.0)
    assert found.after_arm["rho_star"].estimate == pytest.approx(1.0, abs=0.1)
    assert "carry-over is likely" in found.summary()


def test_without_carry_over_none_is_claimed_to_be_absent() -> None:
    found = carry_over(study_of_pairs(1.0), arm="ketamine", reference="saline")
    low, high = found.difference["G"].interval()
    assert low < 0 < high
    assert "does not exclude it" in found.summary()


def test_neurons_that_are_not_followed_leave_the_net_drive_only() -> None:
    found = carry_over(study_of_pairs(0.5, tracked=False), arm="ketamine", reference="saline")
    assert found.difference["G"].estimate == pytest.approx(-1.0, abs=0.2)
    assert found.difference["rho_star"].status == "not estimable: neurons are not followed over sessions"


def test_washout_is_told_in_days_and_one_order_has_no_check() -> None:
    study = [each for each in study_of_pairs(1.0) if each.animal in ("m0", "m2")]
    held = read_design(crossover_sessions(3)).held
    moved = [
        replace(
            each,
            animal={"m2": "m0"}.get(each.animal, each.animal),
            session={"s1": "a", "s2": "b"}[each.session],
        )
        for each in held
    ]
    found = carry_over(study, arm="ketamine", reference="saline", held=moved)
    assert found.n_reference == 0
    assert found.difference["G"].status == "needs >= 2 animals after either"
    assert math.isnan(found.washout_days[0])
    one = carry_over(
        [each for each in study if each.animal == "m0"], arm="ketamine", reference="saline", held=moved
    )
    assert one.washout_days == (7.0, 7.0)


def test_sessions_that_hold_both_arms_tell_nothing_of_carry_over() -> None:
    both = [replace(each, arm=arm) for each in study_of_pairs(0.5) for arm in ("saline", "ketamine")]
    found = carry_over(both, arm="ketamine", reference="saline")
    assert (found.n_arm, found.n_reference) == (0, 0)


def test_repeated_sessions_give_the_intraclass_correlation_of_the_analysis_of_variance() -> None:
    # Shrout and Fleiss 1979, table 2: six targets, four judges; ICC(1,1) = .17 in their table 4.
    judged = [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]]
    rows: list[dict[str, object]] = [
        {
            "level": "session",
            "contrast": "drug",
            "animal": f"m{i}",
            "session": f"s{j}",
            "estimate": float(value),
        }
        for i, values in enumerate(judged)
        for j, value in enumerate(values)
    ]
    found = repeats(estimates_table(rows)).iloc[0]
    assert found["repeatability"] == pytest.approx(0.166, abs=5e-4)
    assert found["sd_sessions"] ** 2 == pytest.approx(6.26, abs=5e-3)
    assert (found["n_animals"], found["n_repeated"], found["n_sessions"]) == (6, 6, 24)


def test_single_sessions_have_no_repeats_and_undefined_ones_are_counted() -> None:
    once: list[dict[str, object]] = [
        {"level": "session", "contrast": "drug", "animal": f"m{i}", "session": "s", "estimate": 1.0}
        for i in range(3)
    ]
    assert repeats(estimates_table(once)).empty
    undefined = [*once, {**once[0], "session": "t", "estimate": math.nan}]
    found = repeats(estimates_table(undefined)).iloc[0]
    assert (found["n_undefined"], found["status"]) == (1, "no animal has two sessions with a value")
