"""Designs in words, tables and doubts: each kind made by hand, and wrong inputs."""

from __future__ import annotations

import json
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from design_tables import FIRST, counts, crossover, drug, saline, session, table

from nwbswitch.analysis.designs.design import Design, read_design
from nwbswitch.analysis.session_tables import sessions_of_cells
from nwbswitch.analysis.simulation.count_studies import Scenario, cells_table, simulate_study
from nwbswitch.schemas.drug_log import ControlKind
from nwbswitch.schemas.errors import TableError


def _said(design: Design) -> str:
    return "\n".join(each.message for each in design.doubts)


def test_a_crossover_is_told_with_doses_order_and_washout() -> None:
    design = read_design(crossover(4))
    assert design.kind == "crossover"
    assert design.sentence() == (
        "4 mice, each received ketamine 10 mg/kg i.p. and saline i.p. in counterbalanced order, "
        "7 days apart; ketamine is compared with saline within mice."
    )
    assert design.references == {"ketamine": "saline"}
    assert design.doubts == ()
    rows = design.arms_table().set_index("arm")
    assert rows.loc["ketamine", ["n_animals", "n_sessions", "compared_with", "how"]].tolist() == [
        4, 4, "saline", "within",
    ]  # fmt: skip
    assert rows.loc["ketamine", "sex"] == "4 F"
    assert rows.loc["saline", "age_days"] == "90 to 97"
    assert rows.loc["saline", "time_of_day"] == "09:20"
    assert rows.loc["ketamine", "order"] == "2 1st, 2 2nd"
    json.dumps(design.as_dict(), allow_nan=False)


def test_the_table_tells_what_is_left_out_and_why() -> None:
    rows = crossover(4).to_dict("records")
    rows[0] |= {"included": False, "exclusion": "It holds no fluorescence traces.", "n_neurons": 0}
    design = read_design(pd.DataFrame(rows))
    text = design.text()
    assert "It holds no fluorescence traces." in text
    assert design.arms_table()["n_left_out"].sum() == 1
    assert "1 of 4 animals with ketamine have no saline (m1)" in _said(design)


def test_parallel_groups_are_compared_between_animals() -> None:
    rows = [session(f"k{i}", "s1", "ketamine", 1, [drug()], sex="M") for i in range(3)]
    rows += [session(f"s{i}", "s1", "saline", 1, [saline()], sex="F") for i in range(3)]
    design = read_design(table(rows))
    assert design.kind == "parallel groups"
    assert design.sentence() == (
        "6 mice: 3 received ketamine 10 mg/kg i.p., 3 received saline i.p.; "
        "ketamine is compared with saline between mice."
    )
    assert "Sexes are unbalanced: ketamine has 0 F, 3 M, saline 3 F, 0 M." in _said(design)


def test_order_batch_hour_and_control_that_go_with_the_arm_are_doubted() -> None:
    made = crossover(4, swap=False).to_dict("records")
    for row in made:
        late = row["arm"] == "ketamine"
        row["time_of_day_h"] = 15.0 if late else 9.5
        row["batch"] = "rig 2" if late else "rig 1"
        log = (
            [drug(volume_ml=0.25, body_weight_g=25.0)]
            if late
            else [saline(route="s.c.", volume_ml=0.1, body_weight_g=25.0)]
        )
        row["administrations"] = json.dumps([each.model_dump(mode="json") for each in log])
    design = read_design(pd.DataFrame(made))
    said = _said(design)
    assert "In all 4 animals saline came before ketamine" in said
    assert "All sessions with saline were earlier in the day than all with ketamine." in said
    assert "Batch and arm are one: ketamine was recorded in rig 2, saline in rig 1." in said
    assert "was given s.c. and not i.p. and has a volume of 4 mL/kg and not 10" in said
    assert {each.code for each in design.doubts} == {"design-order", "design-balance", "design-control"}


def test_a_washout_shorter_than_stated_or_within_a_day_is_doubted() -> None:
    rows = []
    for animal, gap in (("m1", timedelta(days=2)), ("m2", timedelta(hours=3))):
        rows.append(session(animal, "a", "ketamine", 1, [drug()]))
        log = [saline(washout_days=7.0)] if animal == "m1" else [saline()]
        rows.append(session(animal, "b", "saline", 2, log, start_time=FIRST + gap))
    said = _said(read_design(table(rows)))
    assert "7 days of washout are stated, and the session before was 2 days earlier." in said
    assert "It began 3 h after the session with ketamine, on the same day." in said


def test_a_stated_order_other_than_that_of_the_sessions_is_doubted() -> None:
    rows = [
        session("m1", "a", "ketamine", 1, [drug(crossover_order=2)]),
        session("m1", "b", "saline", 2, [saline(crossover_order=1)]),
    ]
    assert "the drug logs state the order [2, 1]" in _said(read_design(table(rows)))


def test_a_drug_without_a_control_is_compared_with_its_pseudo_injection() -> None:
    rows = [session(f"m{i}", "s1", "ketamine", 1, [drug()]) for i in range(3)]
    design = read_design(table(rows))
    assert (design.kind, design.references) == ("one arm", {})
    assert design.comparisons[0].kind == "pseudo"
    assert "ketamine: no control to compare with" in _said(design)
    assert design.sentence().endswith("ketamine is compared with its own pseudo-injection.")


def test_each_drug_gets_the_control_that_is_its_vehicle_or_has_its_other_drug() -> None:
    other = {"substance": "dimethyl sulfoxide", "control_kind": ControlKind.VEHICLE}
    dmso = saline().model_copy(update=other)
    naloxone = drug("naloxone", 1.0, 600.0, role="antagonist")
    rows = []
    for i in range(2):
        given = {
            "saline": [saline()],
            "dimethyl sulfoxide": [dmso],
            "ketamine": [drug()],
            "zatebradine": [drug("zatebradine", vehicle="dimethyl sulfoxide")],
            "ketamine+naloxone": [naloxone, drug()],
            "saline+naloxone": [naloxone, saline()],
        }
        rows += [session(f"m{i}", arm, arm, n, log) for n, (arm, log) in enumerate(given.items(), 1)]
    design = read_design(table(rows))
    assert design.references == {
        "ketamine": "saline",
        "zatebradine": "dimethyl sulfoxide",
        "ketamine+naloxone": "saline+naloxone",
        "saline+naloxone": "saline",
    }


def test_a_reference_that_the_analysis_was_given_is_what_is_told() -> None:
    made = crossover(4)
    assert read_design(made, references="ketamine").references == {"saline": "ketamine"}
    assert read_design(made, references={}).references == {}


def test_no_drug_and_animals_without_a_drug() -> None:
    design = read_design(table([session("m1", "a", "", 1), session("m2", "a", "", 1)]))
    assert (design.kind, design.sentence(), design.doubts) == ("no drug", "2 mice, no drug.", ())
    some = read_design(table([session("m1", "a", "", 1), session("m2", "a", "ketamine", 1, [drug()])]))
    assert some.sentence().startswith("2 mice: 1 received ketamine 10 mg/kg i.p., 1 without a drug; ")


def test_repeated_sessions_of_an_arm_are_told() -> None:
    rows = [
        session(f"m{i}", f"{arm}{n}", arm, 2 * n + k, [saline()] if k else [drug()])
        for i in range(2)
        for n in range(2)
        for k, arm in enumerate(("ketamine", "saline"), 1)
    ]
    assert "2 sessions of each, 7 days apart" in read_design(table(rows)).sentence()


def test_equal_orders_of_other_sessions_are_not_one_session() -> None:
    assert "In no animal is it known" in _said(read_design(crossover(2).assign(order=1)))
    times = {"baseline": [0, 60], "drug": [1260, 1320, 2460, 2520]}
    rows = [session(f"m{i}", "a", "ketamine", 1, [saline(), drug(at_s=2400.0)]) for i in range(2)]
    held = [counts(f"m{i}", "a", "ketamine", windows=times) for i in range(2)]
    assert "follow each other in one session in all animals" in _said(read_design(table(rows), held))


def test_animals_with_other_numbers_of_sessions_have_varying_orders() -> None:
    rows = crossover(2).to_dict("records")
    rows.append(session("m1", "s3", "ketamine", 3, [drug()]))
    said = read_design(pd.DataFrame(rows[:5])).sentence()
    assert "in counterbalanced order, 1 to 2 sessions of each, 7 days apart" in said
    ladder = [drug(dose=3.0), drug(dose=10.0, at_s=2400.0)]
    times = {"baseline": [0, 60], "drug": [1260, 1320, 2460, 2520]}
    uneven = [session("m1", "a", "ketamine_3", 1, ladder), session("m2", "a", "ketamine_3", 1, ladder[:1])]
    uneven.append(session("m2", "b", "ketamine_10", 2, ladder[1:]))
    held = [counts(row["animal"], row["session"], row["arm"], windows=times) for row in uneven]
    assert read_design(table(uneven), held).sentence().startswith("2 mice: 1 received ketamine 3 mg/kg")


def test_a_mixture_is_doubted() -> None:
    rows = [session("m1", "a", "ketamine", 1, [drug(), drug("xylazine", 5.0)])]
    assert "In 1 sessions ketamine and xylazine were given together" in _said(read_design(table(rows)))


def test_sessions_without_a_start_keep_their_order_and_are_doubted() -> None:
    made = crossover(4).assign(start_time="", time_of_day_h=np.nan)
    design = read_design(made)
    assert "in counterbalanced order; ketamine" in design.sentence()
    assert "8 sessions state no start" in _said(design)


def test_an_arm_that_is_left_out_as_a_whole_is_in_the_table_and_doubted() -> None:
    rows = [session("m1", "a", "saline", 1, [saline()])]
    rows += [session("m1", "b", "ketamine", 2, [drug()], exclusion="too short")]
    design = read_design(table(rows))
    assert "The arm ketamine has no animal: all of its sessions (1) are left out." in _said(design)
    found = design.arms_table().set_index("arm").loc["ketamine"]
    assert (found["n_animals"], found["n_left_out"], found["left_out"]) == (0, 1, "too short")
    assert design.kind == "one arm"


def test_a_second_file_of_an_included_session_is_no_session_left_out() -> None:
    rows = [session("m1", "a", "saline", 1, [saline()])]
    rows.append(session("m1", "a", "saline", 1, [saline()], exclusion="It holds no fluorescence traces."))
    design = read_design(table(rows))
    assert design.left_out == ()
    assert design.arms_table()["n_left_out"].sum() == 0


def test_nothing_included_is_said() -> None:
    design = read_design(table([session("m1", "a", "ketamine", 1, [drug()], exclusion="damaged")]))
    assert design.sentence() == "No session is included."
    assert "damaged" in design.text()


def test_one_animal_in_two_data_sets_is_refused_by_name() -> None:
    rows = [
        session("m1", "a", "saline", 1, [saline()]),
        session("m1", "a", "saline", 1, [saline()], dataset="b"),
    ]
    with pytest.raises(TableError, match="2 data sets.*'m1'"):
        read_design(table(rows))


def test_a_session_that_is_there_twice_is_refused() -> None:
    row = session("m1", "a", "saline", 1, [saline()])
    with pytest.raises(TableError, match="there twice"):
        read_design(table([row, row]))


def test_a_drug_log_that_cannot_be_read_is_refused_with_its_session() -> None:
    made = crossover(2)
    made.loc[0, "administrations"] = '[{"timestamp_s": "soon"}]'
    with pytest.raises(TableError, match="m1/s1"):
        read_design(made)


def test_cells_alone_give_arms_and_orders() -> None:
    study = simulate_study(Scenario(), n_animals=4, n_neurons=2, window_s=60, rng=np.random.default_rng(0))
    design = read_design(sessions_of_cells(cells_table(study)))
    assert design.sentence() == (
        "4 animals, each received ketamine and saline in counterbalanced order; "
        "ketamine is compared with saline within animals."
    )


def test_doses_of_one_session_are_arms_where_blocks_follow_each() -> None:
    ladder = [drug(dose=3.0), drug(dose=10.0, at_s=2400.0)]
    rows, held = [], []
    for i in range(3):
        name = f"m{i}"
        rows.append(session(name, "k", "ketamine_3", 1, ladder))
        rows.append(session(name, "s", "saline", 2, [saline(), saline(at_s=2400.0)]))
        times = {"baseline": [0, 60, 120, 180], "drug": [1260, 1320, 1380, 1440, 2460, 2520, 2580, 2640]}
        held += [
            counts(name, "k", "ketamine_3", 1, windows=times),
            counts(name, "s", "saline", 2, windows=times),
        ]
    design = read_design(table(rows), held)
    assert design.arms == ("ketamine 3 mg/kg", "ketamine 10 mg/kg, cumulative 13", "saline", "saline #2")
    assert design.references == {
        "ketamine 3 mg/kg": "saline",
        "ketamine 10 mg/kg, cumulative 13": "saline #2",
    }
    assert "up to 2 cumulative doses in one session" in design.sentence()
    assert "up to 2 injections in one session, which are one arm" in read_design(table(rows)).sentence()
