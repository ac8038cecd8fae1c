"""From the cells table to a verdict: the whole way, on simulated studies with a known truth."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.estimands.counts import SessionCounts, read_sessions
from nwbswitch.analysis.simulation.count_studies import SCENARIOS, Scenario, cells_table, simulate_study
from nwbswitch.analysis.verdicts.arm_analysis import ArmResult, analyse_arms
from nwbswitch.analysis.verdicts.controls import Outcome
from nwbswitch.analysis.verdicts.switch import switch, switch_sessions
from nwbswitch.analysis.verdicts.switch_result import SwitchResult
from nwbswitch.analysis.verdicts.verdict import Word
from nwbswitch.schemas.errors import TableError
from nwbswitch.schemas.tables import ESTIMATES
from nwbswitch.schemas.worlds import World


def _cells(scenario: str | Scenario = "switch", *, animals: int = 6, neurons: int = 50) -> pd.DataFrame:
    truth = SCENARIOS[scenario] if isinstance(scenario, str) else scenario
    rng = np.random.default_rng(11)
    return cells_table(simulate_study(truth, n_animals=animals, n_neurons=neurons, rng=rng))


def _ketamine(study: list[SessionCounts]) -> ArmResult:
    return analyse_arms(study, reference="saline", margin=0.25, limits=None, draws=5, seed=0)["ketamine"]


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    return _cells("switch, detected", neurons=80)


@pytest.fixture(scope="module")
def result(cells: pd.DataFrame) -> SwitchResult:
    return switch(cells)


def test_a_switch_is_found_and_saline_is_stable(result: SwitchResult) -> None:
    assert {arm: verdict.word for arm, verdict in result.verdicts.items()} == {
        "ketamine": Word.SWITCH,
        "saline": Word.STABLE,
    }
    assert result.info.reference == "saline"
    assert result.design == "6 animals, each received ketamine and saline in counterbalanced order."


@pytest.mark.parametrize(
    ("scenario", "word"),
    [
        ("no effect", Word.STABLE),
        ("gain", Word.STABLE),
        ("gain, false events", Word.STABLE),
        ("reshuffle", Word.RESHUFFLE),
        ("swap", Word.PARTIAL),
        ("reshuffle before the drug", Word.UNDECIDED),
        ("reshuffle in both arms", Word.UNDECIDED),
    ],
)
def test_every_other_world_has_its_own_word(scenario: str, word: Word) -> None:
    study = simulate_study(SCENARIOS[scenario], n_animals=12, n_neurons=60, rng=np.random.default_rng(4))
    assert _ketamine(study).verdict.word is word


def test_detection_by_activity_never_makes_a_switch_of_a_reshuffle() -> None:
    rng = np.random.default_rng(4)
    for _ in range(5):
        study = simulate_study(SCENARIOS["reshuffle, detected"], n_animals=6, n_neurons=80, rng=rng)
        arm = _ketamine(study)
        assert arm.verdict.word is not Word.SWITCH
        assert arm.drug_estimates["rho_star", 0].estimate < 0


def test_three_animals_have_estimates_and_no_verdict() -> None:
    arm = switch(_cells(animals=3)).as_dict()["arms"]["ketamine"]
    assert arm["verdict"] == "not_enough_animals"
    assert arm["estimands"]["rho_star"]["estimate"] < 0
    assert arm["estimands"]["rho_star"]["ci_low"] is not None
    assert arm["estimands"]["rho_star"]["p"] is None


def test_one_animal_has_estimates_without_intervals() -> None:
    table = switch(_cells(animals=1)).table()
    pooled = table[(table["level"] == "arm") & (table["estimand"] == "SW")]
    assert pooled["estimate"].notna().all()
    assert pooled["ci_low"].isna().all()
    assert set(pooled["status"]) == {"no interval: needs >= 2 animals"}


def test_the_table_fits_its_specification(result: SwitchResult) -> None:
    table = result.table()
    assert ESTIMATES.issues(table) == []
    assert set(table["contrast"]) == {"drug", "pseudo", "vs_saline", "vs_pseudo"}
    assert set(table["arm"]) == {"ketamine", "saline"}
    assert table["simulated"].all()
    keys = ["arm", "contrast", "level", "animal", "session", "estimand", "k"]
    assert not table.duplicated(keys).any()
    m = table[(table["estimand"] == "M") & (table["arm"] == "ketamine")]
    assert set(m["contrast"]) == {"vs_saline"}
    rho = table[(table["estimand"] == "rho_star") & (table["contrast"] == "drug") & (table["level"] == "arm")]
    rho = rho.set_index("arm")["estimate"]
    pooled = m[m["level"] == "arm"]["estimate"].item()
    assert pooled == pytest.approx(rho["saline"] - rho["ketamine"])


def test_neurons_followed_over_both_arms_are_counted_once(cells: pd.DataFrame, result: SwitchResult) -> None:
    table = result.table()
    row = table[(table["contrast"] == "vs_saline") & (table["level"] == "arm") & (table["estimand"] == "G")]
    assert row["n_neurons"].item() == cells["tracking_id"].nunique()
    assert row["n_sessions"].item() == 12
    assert result.as_dict()["n_neurons"] == cells["tracking_id"].nunique()


def test_animals_have_their_own_standard_errors(result: SwitchResult) -> None:
    animals = result.animals()
    main = animals[animals["estimand"].isin(["G", "R_act", "R_sil", "SW", "rho_star", "tau_c", "M"])]
    assert len(main)
    assert (main["se"] > 0).all()
    assert main["ci_low"].isna().all()
    assert (animals["n_animals"] == 1).all()
    assert set(animals["animal"]) == {f"m{place:02d}" for place in range(1, 7)}


def test_the_neuron_table_holds_rates_before_and_after(cells: pd.DataFrame, result: SwitchResult) -> None:
    neurons = result.neurons()
    assert len(neurons) == 2 * len(cells.drop_duplicates(["session", "tracking_id"]))
    row = neurons[neurons["contrast"] == "drug"].iloc[0]
    own = cells[(cells["tracking_id"] == row["neuron"]) & (cells["session"] == row["session"])]
    events = own.groupby("window")["n_events"].sum()
    assert row["before_per_min"] == pytest.approx(events["baseline"] / 10)
    assert row["after_per_min"] == pytest.approx(events["drug"] / 10)
    assert row["before_per_min"] == pytest.approx((row["before_1_per_min"] + row["before_2_per_min"]) / 2)


def test_result_json_holds_what_a_report_needs(result: SwitchResult) -> None:
    held = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert {"margin", "seed", "simulated", "reference", "tau_c_limits", "design"} <= set(held)
    arm = held["arms"]["ketamine"]
    assert {"G", "R_act", "R_sil", "SW", "rho_star", "tau_c", "M"} <= set(arm["estimands"])
    for each in arm["estimands"].values():
        assert each["ci_low"] <= each["estimate"] <= each["ci_high"]
    assert "M" not in held["arms"]["saline"]["estimands"]
    assert arm["estimands"]["tau_c"]["ci_high"] == max(
        each["ci_high"] for each in arm["estimands"]["tau_c"]["sweep"]
    )
    assert set(arm["naive"]) == {"down_pct", "up_pct", "p_active_after_silent", "corr"}
    assert 40 < arm["naive"]["down_pct"] < 60
    assert arm["controls"]["N1"]["outcome"] == "passed"
    assert [each["rule"] for each in arm["reasons"]][-1] == "switch"
    assert set(arm["random_effects"]) == {"G", "R_act", "R_sil", "SW", "rho_star"}
    assert arm["random_effects"]["rho_star"]["ci_high"] < 0


def test_the_summary_says_simulated_first_and_names_every_arm(result: SwitchResult) -> None:
    summary = result.summary()
    assert summary.startswith("SIMULATED DATA.")
    assert "ketamine: switch" in summary
    assert "passed: N1" in summary


def test_the_same_seed_gives_the_same_table_in_any_row_order(
    cells: pd.DataFrame, result: SwitchResult
) -> None:
    pd.testing.assert_frame_equal(result.table(), switch(cells.sample(frac=1, random_state=0)).table())


def test_other_animals_do_not_change_an_animals_value(cells: pd.DataFrame, result: SwitchResult) -> None:
    fewer = switch(cells[cells["animal"] != "m06"], k=result.info.limits["excitatory"]).animals()
    keys = ["arm", "contrast", "animal", "estimand", "k"]
    merged = result.animals().merge(fewer, on=keys, suffixes=("", "_fewer"), how="right")
    assert len(merged) == len(fewer)
    assert np.allclose(merged["estimate"], merged["estimate_fewer"], equal_nan=True)


def test_the_sweep_starts_where_detection_ends(result: SwitchResult) -> None:
    limits = result.info.limits["excitatory"]
    assert limits[0] == 20
    assert limits[-1] >= 40
    assert result.info.limits_from_data


def test_a_given_sweep_is_used(cells: pd.DataFrame) -> None:
    found = switch(cells, k=[30, 20, 30])
    assert found.info.limits["excitatory"] == (20, 30)
    assert not found.info.limits_from_data


def test_between_animals_the_arms_are_compared_as_groups() -> None:
    study = simulate_study(
        SCENARIOS["switch"], n_animals=6, n_neurons=40, design="between", rng=np.random.default_rng(5)
    )
    found = switch_sessions(study, draws=5)
    arm = found.arms["ketamine"]
    assert arm.difference is not None
    assert arm.difference.design == "between"
    assert found.design == "12 animals: 6 received ketamine, 6 received saline."
    assert arm.verdict.word is Word.SWITCH
    r_act = arm.difference.estimates["R_act", 0]
    assert r_act.n_animals == 12
    assert r_act.p == pytest.approx(2 / math.comb(12, 6))
    assert set(found.animals()["contrast"]) == {"drug", "pseudo", "vs_pseudo"}


def test_an_animal_without_the_reference_is_left_out_of_the_difference_and_counted() -> None:
    study = simulate_study(SCENARIOS["switch"], n_animals=8, n_neurons=40, rng=np.random.default_rng(6))
    study = [each for each in study if (each.animal, each.arm) != ("m03", "saline")]
    arm = switch_sessions(study, draws=5).as_dict()["arms"]["ketamine"]
    assert arm["n_animals"] == 8
    assert arm["n_animals_left_out"] == 1
    assert arm["against_reference"]["G"]["n_animals"] == 7


def test_without_a_reference_arm_the_pseudo_injection_takes_its_place() -> None:
    cells = _cells()
    found = switch(cells[cells["arm"] == "ketamine"])
    arm = found.arms["ketamine"]
    assert found.info.reference is None
    assert arm.reference == "its own pseudo-injection"
    assert arm.verdict.word is Word.SWITCH
    assert arm.controls[0].outcome is Outcome.IMPOSSIBLE


def test_without_reference_and_pseudo_injection_nothing_is_decided() -> None:
    cells = _cells()
    alone = cells[(cells["arm"] == "ketamine") & cells["window"].isin(["baseline", "drug"])]
    arm = switch(alone).as_dict()["arms"]["ketamine"]
    assert arm["verdict"] == "undecided"
    assert arm["reference"] is None
    assert "M" not in arm["estimands"]
    assert "at least twice the lag" in arm["controls"]["N1"]["sentence"]


def test_a_short_baseline_makes_n1_impossible_and_does_not_stop_the_verdict() -> None:
    cells = _cells()
    arm = switch(cells[cells["window"].isin(["baseline", "drug"])]).arms["ketamine"]
    outcomes = {control.name: control.outcome for control in arm.controls}
    assert outcomes["N1"] is outcomes["N2"] is Outcome.IMPOSSIBLE
    assert arm.verdict.word is Word.SWITCH


def test_recordings_without_a_drug_show_the_pseudo_injection_only() -> None:
    cells = _cells("no effect", animals=3)
    quiet = cells[(cells["arm"] == "saline") & cells["window"].str.startswith("pseudo")].assign(arm="")
    found = switch(quiet)
    held = found.as_dict()["arms"]["none"]
    assert held["verdict"] == "not_enough_animals"
    assert held["contrast"] == "pseudo"
    assert held["estimands"]["rho_star"]["estimate"] == pytest.approx(1, abs=0.05)
    assert found.design == "3 animals, no drug."
    assert "none: not_enough_animals" in found.summary()


def test_cell_types_are_estimated_apart_and_excitatory_neurons_decide() -> None:
    cells = _cells()
    mixed = cells.assign(cell_type=np.where(cells["neuron"] < 8, "PV", "excitatory"))
    found = switch(mixed)
    assert found.info.cell_type == "excitatory"
    assert set(found.table()["cell_type"]) == {"PV", "excitatory"}
    alone = switch(mixed[mixed["cell_type"] == "excitatory"])
    assert alone.as_dict() == found.as_dict()
    assert switch(mixed, cell_type="PV").info.cell_type == "PV"


def test_too_few_events_are_not_estimable_and_still_counted() -> None:
    cells = _cells("no effect", neurons=12)
    quiet = cells.assign(n_events=(cells["block"] == 0).astype(int) * (cells["neuron"] == 0))
    found = switch(quiet)
    row = found.table().query("level == 'arm' and contrast == 'drug' and arm == 'ketamine'")
    row = row.set_index("estimand")
    assert row.loc["R_sil", "status"] == "not estimable: fewer than 10 expected events"
    assert math.isnan(row.loc["R_sil", "estimate"])
    assert row.loc["R_sil", "n_animals"] == 6
    assert found.verdicts["ketamine"].word is Word.UNDECIDED


def test_two_data_sets_are_refused_with_a_way_out() -> None:
    cells = _cells(animals=2)
    both = pd.concat([cells, cells.assign(dataset="another")])
    with pytest.raises(TableError, match=r"2 data sets \(another, simulated\).*meta.*state dataset"):
        switch(both)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"reference": "sailne"}, "no arm 'sailne'.*ketamine, saline"),
        ({"cell_type": "PV"}, "no cell type 'PV'.*excitatory"),
        ({"margin": 0.0}, "margin"),
        ({"draws": 0}, "draws"),
        ({"k": []}, "k must be"),
        ({"k": [0]}, "k must be"),
    ],
)
def test_wrong_arguments_say_what_was_expected(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        switch(_cells(animals=1, neurons=5), **arguments)  # type: ignore[arg-type]


def test_the_callers_table_is_not_changed() -> None:
    cells = _cells(animals=2, neurons=8)
    kept = cells.copy(deep=True)
    switch(cells)
    pd.testing.assert_frame_equal(cells, kept)


def test_a_partial_change_seen_through_activity_based_rois_is_not_called_a_reshuffle() -> None:
    rng = np.random.default_rng(8)
    for _ in range(4):
        study = simulate_study(SCENARIOS["swap, detected"], n_animals=12, n_neurons=80, rng=rng)
        assert _ketamine(study).verdict.word in (Word.PARTIAL, Word.UNDECIDED)


def test_false_events_cannot_make_the_silent_response_of_a_switch() -> None:
    scenario = Scenario(World.SWITCH)
    study = simulate_study(scenario, n_animals=8, n_neurons=50, rng=np.random.default_rng(9))
    assert _ketamine(study).verdict.word is Word.SWITCH
    noisy = []
    for session in study:
        drug = session.windows["drug"]
        windows = session.windows | {"drug": replace(drug, negative=drug.events)}
        noisy.append(replace(session, windows=windows) if session.arm == "ketamine" else session)
    verdict = _ketamine(noisy).verdict
    assert verdict.word is Word.UNDECIDED
    assert any("false events could make R_sil" in reason.sentence for reason in verdict.reasons)


def test_counts_and_table_give_the_same_answer(cells: pd.DataFrame, result: SwitchResult) -> None:
    assert switch_sessions(read_sessions(cells)).as_dict() == result.as_dict()


def test_cells_without_two_windows_to_compare_are_refused() -> None:
    study = simulate_study(SCENARIOS["no effect"], n_animals=2, n_neurons=4, rng=np.random.default_rng(1))
    cells = cells_table(study)
    with pytest.raises(TableError, match="two windows to compare"):
        switch(cells[cells["window"] == "baseline"])


def test_spikes_and_calcium_events_are_never_summed(cells: pd.DataFrame) -> None:
    kinds = np.where(cells["neuron"] % 2 == 0, "crossing", "spikes")
    with pytest.raises(TableError, match="several kinds \\(crossing, spikes\\)"):
        switch(cells.assign(event_basis=kinds))
    one = cells[kinds == "spikes"].assign(event_basis="spikes")
    assert switch(one, draws=5).info.cell_type == "excitatory"
