"""Which specifications are tried, and what they do to sessions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nwbswitch.analysis.estimands.counts import DRUG, SessionCounts, WindowCounts, half_counts
from nwbswitch.analysis.robustness.session_variants import shortened, varied_sessions
from nwbswitch.analysis.robustness.specification_curve import NO_DATA, specification_curve
from nwbswitch.analysis.robustness.specifications import Specification, detected_limit, specifications
from nwbswitch.analysis.simulation.count_studies import SCENARIOS, simulate_study
from nwbswitch.analysis.simulation.study_cells import cells_table
from nwbswitch.analysis.table_file import write_parquet
from nwbswitch.analysis.verdicts.switch import switch
from nwbswitch.schemas.analysis_plan import MeasurePlan, RobustnessPlan, SwitchPlan


def plan(**choices: object) -> RobustnessPlan:
    empty: dict[str, object] = {"threshold_sd": (), "neuropil_coefficient": ()}
    return RobustnessPlan.model_validate(empty | choices)


def window(start_s: float, n_blocks: int = 20, n_neurons: int = 4) -> WindowCounts:
    blocks = np.arange(n_blocks)
    events = np.tile(blocks, (n_neurons, 1)).astype(float)
    exposure = np.full((n_neurons, n_blocks), 30.0)
    return WindowCounts(events, np.zeros_like(events), exposure, 1 + blocks % 2, start_s + 30.0 * blocks)


def session(**values: object) -> SessionCounts:
    names = np.array([f"n{i}" for i in range(4)])
    windows = {"baseline": window(0.0), "drug": window(720.0)}
    made = SessionCounts("d", "m1", "s1", "ketamine", 1, "excitatory", True, False, names, windows)
    return replace(made, **values)  # type: ignore[arg-type]


def test_one_choice_is_varied_at_a_time_and_the_plan_comes_first() -> None:
    found = specifications(MeasurePlan(), RobustnessPlan(window_s=(300, 600), k=(20,)))
    own = Specification(3.0, 0.7)
    assert found[0] == own
    assert len(found) == len(set(found)) == 1 + 3 + 3 + 2 + 1
    for each in found[1:]:
        names = ("threshold_sd", "neuropil_coefficient", "frames", "window_s", "roi_set", "k")
        assert sum(getattr(each, name) != getattr(own, name) for name in names) == 1


def test_specifications_that_share_a_measurement_stand_together() -> None:
    found = specifications(MeasurePlan(), RobustnessPlan(window_s=(300,), crossed=True))
    measured = [each.measured for each in found]
    runs = [one for one, before in zip(measured, [None, *measured], strict=False) if one != before]
    assert len(found) == 4 * 4 * 2
    assert len(runs) == len(set(measured)) == 16


def test_too_many_and_unknown_choices_are_refused() -> None:
    many = plan(threshold_sd=tuple(range(1, 60)), k=tuple(range(1, 60)), crossed=True)
    with pytest.raises(ValueError, match="at most 2000"):
        specifications(MeasurePlan(), many)
    with pytest.raises(ValueError, match="at most 2000"):
        specifications(MeasurePlan(), plan(threshold_sd=tuple(range(1, 3000))))
    with pytest.raises(ValueError, match=r"roi_sets"):
        plan(roi_sets=("detectd_20",))
    with pytest.raises(ValueError, match="no set of ROIs 'detectd_20'"):
        detected_limit("detectd_20")
    assert detected_limit("detected_20") == 20
    assert detected_limit("tracked") is None


def test_short_windows_are_the_parts_nearest_to_the_administration() -> None:
    short = shortened(session(), 300.0, 30.0)
    assert short is not None
    before, after = short.windows["baseline"], short.windows["drug"]
    assert before.start_s is not None
    assert after.start_s is not None
    assert before.start_s.tolist() == [300.0 + 30 * i for i in range(10)]
    assert after.start_s.tolist() == [720.0 + 30 * i for i in range(10)]
    assert before.events[0].tolist() == list(range(10, 20))
    counts = half_counts(short, DRUG)
    assert counts is not None
    assert counts[0].exposure_s[0].tolist() == [150.0, 150.0]


def test_windows_that_are_too_short_have_no_data() -> None:
    assert shortened(session(), 900.0, 30.0) is None
    assert varied_sessions([session()], Specification(3, 0.7, window_s=900.0), block_s=30.0) == []


def test_rois_are_chosen_by_events_by_basis_and_by_tracking() -> None:
    quiet = session()
    quiet.windows["baseline"].events[0] = 0
    quiet.windows["drug"].events[0] = 0
    (kept,) = varied_sessions([quiet], Specification(3, 0.7, roi_set="detected_5"), block_s=30.0)
    assert kept.identity.tolist() == ["n1", "n2", "n3"]
    by_activity = session(session="s2", anatomical=False, identity=np.array(["n3", "x", "y", "z"]))
    both = [session(), by_activity]
    (anatomical,) = varied_sessions(both, Specification(3, 0.7, roi_set="anatomical"), block_s=30.0)
    assert anatomical.session == "s1"
    tracked = varied_sessions(both, Specification(3, 0.7, roi_set="tracked"), block_s=30.0)
    assert [each.identity.tolist() for each in tracked] == [["n3"], ["n3"]]


def test_two_doses_of_one_session_do_not_make_its_neurons_tracked() -> None:
    doses = [session(arm="ketamine 5 mg/kg"), session(arm="ketamine 20 mg/kg")]
    assert not varied_sessions(doses, Specification(3, 0.7, roi_set="tracked"), block_s=30.0)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(5)
    study = simulate_study(SCENARIOS["switch"], n_animals=6, n_neurons=40, rng=rng)
    path = tmp_path_factory.mktemp("study") / "cells.parquet"
    write_parquet(cells_table(study), path)
    return path


def test_the_curve_holds_the_answer_of_the_plan_and_all_others(cells: Path, tmp_path: Path) -> None:
    asked = plan(window_s=(300, 600, 6000), roi_sets=("all", "anatomical", "detected_10"), k=(10, 20))
    table = specification_curve(
        [],
        cells=cells,
        asked=asked,
        measure_plan=MeasurePlan(),
        switch_plan=SwitchPlan(draws=5),
        folder=tmp_path,
    )
    assert table["specification"].nunique() == 8
    own = table[(table["specification"] == 0) & (table["arm"] == "ketamine")].set_index(
        ["estimand", "contrast"]
    )
    direct = switch(pd_read(cells), draws=5).arms["ketamine"]
    assert direct.difference is not None
    assert own.loc[("M", "vs_saline"), "estimate"] == direct.difference.estimates["M", 0].estimate
    assert own.loc[("rho_star", "drug"), "estimate"] == direct.drug_estimates["rho_star", 0].estimate
    assert set(own["verdict"]) == {direct.verdict.word.value}
    lost = table[table["window_s"] == 6000]
    assert lost["status"].tolist() == [NO_DATA]
    assert lost["estimate"].isna().all()
    alike = table[(table["roi_set"] == "anatomical") & (table["arm"] == "ketamine")]
    assert alike["estimate"].to_numpy() == pytest.approx(own["estimate"].to_numpy(), nan_ok=True)
    tested = table[(table["arm"] == "ketamine") & (table["estimand"] == "G") & (table["contrast"] == "drug")]
    by_choice = tested.set_index("specification")
    planned = by_choice.loc[0]
    for name, value in (("window_s", 300.0), ("roi_set", "detected_10")):
        varied = by_choice[by_choice[name] == value].iloc[0]
        assert varied["estimate"] != planned["estimate"], name
    chosen = by_choice[by_choice["roi_set"] == "detected_10"].iloc[0]
    assert chosen["n_neurons"] < planned["n_neurons"]
    single = table[(table["k"] == 20) & (table["estimand"] == "tau_c")]
    assert len(single) == 2


def pd_read(path: Path) -> object:
    import pandas as pd

    return pd.read_parquet(path)
