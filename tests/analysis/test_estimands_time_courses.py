"""Time courses of studies whose course is known, and of recordings that are not all alike."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from counted_windows import drawn, session

from nwbswitch.analysis.estimands.counts import read_sessions
from nwbswitch.analysis.estimands.time_courses import time_courses
from nwbswitch.analysis.simulation.count_studies import simulate_study
from nwbswitch.analysis.simulation.scenarios import Scenario
from nwbswitch.analysis.simulation.study_cells import cells_table
from nwbswitch.analysis.verdicts.arm_analysis import analyse_arms
from nwbswitch.schemas.errors import TableError
from nwbswitch.schemas.result_tables import COURSE_FEATURES, SESSIONS, TIME_COURSES
from nwbswitch.schemas.worlds import World, baseline_rates

BLOCKS = np.arange(160) * 30.0 + 15
DRUG_S = 1300.0
"""Start of the drug window on the session clock."""


def _mixed(share):
    """Reshuffle by a share of time: 0 keeps every rate, 1 is another neuron's."""

    def rates(own, rng):
        return own[:, None] * (1 - share) + rng.permutation(own)[:, None] * share

    return rates


def _study(paths, *, n_animals=8, n_neurons=80, seed=0, split=120):
    """Return a session per animal and arm; paths give rates, shape (neurons, 160), from those before."""
    rng = np.random.default_rng(seed)
    found = []
    for place in range(n_animals):
        own = baseline_rates(n_neurons, rng)
        for arm, path in paths.items():
            rates = path(own, rng)
            found.append(
                session(
                    {
                        "baseline": drawn(own[:, None] * np.ones(40), rng),
                        "drug": drawn(rates[:, :split], rng, start_s=DRUG_S),
                        "recovery": drawn(rates[:, split:], rng, start_s=DRUG_S + 30.0 * split),
                    },
                    animal=f"m{place:02d}",
                    arm=arm,
                    name=f"{arm}-1",
                )
            )
    return found


COURSE = np.interp(BLOCKS, [0, 600, 900, 1500, 3000, 4800], [0, 0, 1, 1, 0, 0])
GAIN = 1 - 0.7 * COURSE


@pytest.fixture(scope="module")
def known():
    return time_courses(
        _study({"ketamine": _mixed(COURSE), "saline": _mixed(0 * COURSE)}), reference="saline"
    )


@pytest.fixture(scope="module")
def gained():
    return time_courses(
        _study({"ketamine": lambda own, rng: own[:, None] * GAIN, "saline": _mixed(0 * COURSE)}, seed=1),
        reference="saline",
    )


def _arm(courses, estimand, contrast="drug", arm="ketamine"):
    chosen = (courses["estimand"] == estimand) & (courses["contrast"] == contrast) & (courses["arm"] == arm)
    return courses[chosen & (courses["level"] == "arm")].set_index("time_s")


def _feature(features, estimand, name, contrast="vs_saline"):
    chosen = (features["estimand"] == estimand) & (features["contrast"] == contrast)
    rows = features[chosen & (features["feature"] == name) & (features["arm"] == "ketamine")]
    assert len(rows) == 1
    return rows.iloc[0]


def test_the_tables_fit_their_specifications(known):
    courses, features = known
    assert TIME_COURSES.issues(courses) == COURSE_FEATURES.issues(features) == []
    assert set(TIME_COURSES.names) == set(courses.columns)
    assert set(courses["level"]) == {"arm", "animal"}
    assert set(features["level"]) == {"arm"}
    assert sorted(_arm(courses, "G").index[[0, 1, -1]]) == [150, 210, 4650]
    assert (courses["width_s"] == 300).all()


def test_rho_follows_what_was_done(known):
    rho = _arm(known[0], "rho_star")
    smeared = np.array([COURSE[abs(BLOCKS - centre) < 150].mean() for centre in rho.index])
    before, all_new = rho[smeared == 0], rho[smeared == 1]
    np.testing.assert_allclose(before["estimate"], 1.0, atol=0.06)
    np.testing.assert_allclose(all_new["estimate"], 0.0, atol=0.2)
    assert rho["status"].eq("ok").all()
    assert (rho["band_low"] <= rho["ci_low"]).all()
    assert (rho["ci_high"] <= rho["band_high"]).all()


def test_onset_peak_and_half_recovery_are_found(known):
    """The change begins at 600 s; a window of 300 s blurs by up to 150 s."""
    features = known[1]
    rng = np.random.default_rng(9)
    rates = baseline_rates(20_000, rng)
    mixed = np.sqrt(_mixed(COURSE)(rates, rng))
    lost = 1 - np.array([np.corrcoef(np.sqrt(rates), each)[0, 1] for each in mixed.T])
    half_s = BLOCKS[(BLOCKS > 1500) & (lost < lost.max() / 2)][0]
    assert 1900 < half_s < 2200
    for estimand in ("SW", "rho_star"):
        onset, peak, half = (
            _feature(features, estimand, name) for name in ("onset_s", "peak_s", "half_recovery_s")
        )
        assert onset["status"] == peak["status"] == half["status"] == "ok"
        assert onset["estimate"] == pytest.approx(600, abs=150)
        assert 900 <= peak["estimate"] <= 1500
        assert half["estimate"] == pytest.approx(half_s, abs=120 if estimand == "rho_star" else 500)
        for found in (onset, half):
            assert found["ci_low"] < found["estimate"] < found["ci_high"]
            assert found["ci_high"] - found["ci_low"] < 600


def test_a_reshuffle_does_not_move_the_drive(known):
    assert _feature(known[1], "G", "onset_s")["status"].startswith("no onset")


def test_a_common_gain_moves_the_drive_only(gained):
    courses, features = gained
    drive = _arm(courses, "G", "vs_saline")
    assert drive.loc[1230, "estimate"] == pytest.approx(math.log2(0.3), abs=0.15)
    assert _feature(features, "G", "peak")["estimate"] == pytest.approx(math.log2(0.3), abs=0.15)
    # Half of the peak in log2 is a gain of 0.55, at which 64 % of the change is left.
    assert _feature(features, "G", "half_recovery_s")["estimate"] == pytest.approx(2035, abs=150)
    for estimand in ("SW", "rho_star"):
        assert _feature(features, estimand, "onset_s")["status"].startswith("no onset")


def test_the_reference_rests(known):
    features = known[1]
    rows = features[(features["arm"] == "saline") & (features["feature"] == "onset_s")]
    assert set(rows["contrast"]) == {"drug"}
    assert rows["status"].str.startswith("no onset").all()


@pytest.mark.parametrize("world", [World.NULL, World.DRIFT, World.GAIN, World.RESHUFFLE, World.SWITCH])
def test_one_window_over_everything_is_the_estimate_of_the_analysis(world):
    study = simulate_study(Scenario(world), n_animals=6, window_s=600, rng=np.random.default_rng(2))
    courses, _ = time_courses(study, reference="saline", width_s=600.0)
    arms = analyse_arms(study, reference="saline", margin=0.25, limits=(5,), draws=2000, seed=0)
    for estimand in ("G", "SW", "rho_star"):
        # Ties are shared here, and drawn 2,000 times there.
        allowed = 0.01 if estimand == "SW" else 1e-9
        row = _arm(courses, estimand).loc[300.0]
        own = arms["ketamine"].drug_estimates[estimand, 0]
        assert row["estimate"] == pytest.approx(own.estimate, abs=allowed)
        assert row["se"] == pytest.approx(own.se, abs=allowed)
        row = _arm(courses, estimand, "vs_saline").loc[300.0]
        against = arms["ketamine"].difference.estimates[estimand, 0]
        assert row["estimate"] == pytest.approx(against.estimate, abs=2 * allowed)
        assert row["ci_low"] == pytest.approx(against.interval()[0], abs=4 * allowed)


def test_every_animal_has_its_own_course_without_an_interval(known):
    own = known[0][(known[0]["level"] == "animal") & (known[0]["estimand"] == "G")]
    assert own.groupby(["arm", "contrast"])["animal"].nunique().tolist() == [8, 8, 8]
    assert own[["se", "ci_low", "band_low"]].isna().all(axis=None)
    one = own[(own["animal"] == "m03") & (own["time_s"] == 1230)].set_index(["arm", "contrast"])["estimate"]
    assert one["ketamine", "vs_saline"] == pytest.approx(one["ketamine", "drug"] - one["saline", "drug"])


def test_the_administration_is_time_zero():
    study = _study({"ketamine": _mixed(COURSE), "saline": _mixed(0 * COURSE)}, n_animals=2, n_neurons=30)
    rows = [
        {
            "dataset": "made",
            "animal": each.animal,
            "session": each.session,
            "arm": each.arm,
            "order": 1,
            "administration_s": DRUG_S - 120,
        }
        for each in study
    ]
    defaults = {column.name: "" for column in SESSIONS.columns if column.dtype == "str"}
    defaults |= {column.name: 1 for column in SESSIONS.columns if column.dtype in ("int", "float", "bool")}
    table = pd.DataFrame([defaults | row for row in rows])
    plain, _ = time_courses(study, reference=None)
    shifted, _ = time_courses(study, reference=None, sessions_table=table)
    one, two = (_arm(each, "G")["estimate"] for each in (plain, shifted))
    # The same blocks, 120 s later; the first window then reaches before the recording.
    np.testing.assert_allclose(two.loc[one.index[1:-1] + 120], one.iloc[1:-1])
    unknown = table.assign(administration_s=np.nan)
    pd.testing.assert_frame_equal(time_courses(study, reference=None, sessions_table=unknown)[0], plain)
    with pytest.raises(TableError, match="administration_s"):
        time_courses(study, reference=None, sessions_table=table.drop(columns="administration_s"))


def test_animals_recorded_for_less_time_are_counted_where_they_are():
    study = _study({"ketamine": _mixed(COURSE)}, n_animals=7, n_neurons=40, seed=3)
    short = [
        replace(each, windows={name: each.windows[name] for name in ("baseline", "drug")})
        if each.animal == "m00"
        else each
        for each in study
    ]
    rows = _arm(time_courses(short, reference=None)[0], "G")
    assert rows.loc[3450, "n_animals"] == 7
    assert rows.loc[4050, "n_animals"] == 6
    alone = _arm(time_courses(study[1:], reference=None)[0], "G")
    assert rows.loc[4050, "estimate"] == pytest.approx(alone.loc[4050, "estimate"])
    assert rows.loc[4050, "se"] == pytest.approx(alone.loc[4050, "se"])


def test_a_gap_and_silence_are_not_estimable():
    study = _study({"ketamine": _mixed(COURSE)}, n_animals=6, n_neurons=40, seed=4, split=80)
    later = []
    for each in study:
        windows = dict(each.windows)
        windows["recovery"] = replace(windows["recovery"], start_s=windows["recovery"].start_s + 1200)
        windows["drug"].events[:, 40:] = 0
        later.append(replace(each, windows=windows))
    rows = _arm(time_courses(later, reference=None)[0], "rho_star")
    assert rows.loc[3030, "status"] == "not estimable: nothing recorded at this time"
    assert rows.loc[3030, "n_animals"] == 0
    assert rows.loc[1830, "status"] == "not estimable: split-half reliability below .3"
    assert rows.loc[[3030, 1830], "estimate"].isna().all()
    drive = _arm(time_courses(later, reference=None)[0], "G")
    assert drive.loc[1830, "status"] == "ok"  # that nothing is left of many events is a number
    assert drive.loc[1830, "estimate"] < -5


def test_few_neurons_and_events_say_so():
    study = _study({"ketamine": _mixed(COURSE)}, n_animals=2, n_neurons=4, seed=5)
    quiet = []
    for each in study:
        for window in each.windows.values():
            window.events[:, 1:] = 0
            window.events[:, 0] = window.events[:, 0] > 0
        quiet.append(each)
    courses, features = time_courses(quiet, reference=None)
    arm = courses[(courses["level"] == "arm") & (courses["estimand"] != "rho_star")]
    assert set(arm["status"]) == {"not estimable: fewer than 10 expected events"}
    assert features["status"].str.startswith("not estimable").all()


def test_animals_of_a_between_design_are_compared_between():
    study = _study({"ketamine": _mixed(COURSE), "saline": _mixed(0 * COURSE)}, n_animals=12, n_neurons=40)
    apart = [each for i, each in enumerate(study) if (i // 2) % 2 == i % 2]
    courses, _ = time_courses(apart, reference="saline")
    row = _arm(courses, "rho_star", "vs_saline").loc[1230]
    one, two = (_arm(courses, "rho_star", arm=arm).loc[1230] for arm in ("ketamine", "saline"))
    assert row["n_animals"] == 12
    assert row["estimate"] == pytest.approx(one["estimate"] - two["estimate"])
    assert row["se"] == pytest.approx(math.hypot(one["se"], two["se"]))
    assert not ((courses["contrast"] == "vs_saline") & (courses["level"] == "animal")).any()


def test_references_may_differ_between_arms():
    paths = {name: _mixed(0 * COURSE) for name in ("ketamine", "psilocybin", "saline", "vehicle")}
    study = _study(paths, n_animals=2, n_neurons=20)
    courses, _ = time_courses(study, reference={"ketamine": "saline", "psilocybin": "vehicle"})
    found = courses[courses["contrast"] != "drug"].groupby("arm")["contrast"].unique().explode().to_dict()
    assert found == {"ketamine": "vs_saline", "psilocybin": "vs_vehicle"}
    assert (time_courses(study, reference=None)[0]["contrast"] == "drug").all()


def test_a_table_of_cells_gives_the_same_courses():
    study = simulate_study(Scenario(World.SWAP), n_animals=2, n_neurons=20, rng=np.random.default_rng(6))
    own, read = (
        time_courses(each, reference="saline")[0] for each in (study, read_sessions(cells_table(study)))
    )
    pd.testing.assert_frame_equal(own, read)


def test_cell_types_have_their_own_courses():
    study = _study({"ketamine": _mixed(COURSE)}, n_animals=2, n_neurons=20)
    both = [*study, *(replace(each, cell_type="PV") for each in study)]
    courses, features = time_courses(both, reference=None)
    assert set(courses["cell_type"]) == set(features["cell_type"]) == {"PV", "excitatory"}
    one, two = (courses[courses["cell_type"] == name]["estimate"].to_numpy() for name in ("PV", "excitatory"))
    np.testing.assert_allclose(one, two)


def test_nothing_to_follow_gives_empty_tables():
    study = _study({"ketamine": _mixed(COURSE)}, n_animals=2, n_neurons=20)
    alone = [replace(each, windows={"baseline": each.windows["baseline"]}) for each in study]
    for sessions in (alone, []):
        courses, features = time_courses(sessions, reference=None)
        assert courses.empty
        assert features.empty
        assert list(courses.columns) == list(TIME_COURSES.names)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"width_s": 0.0}, "width_s must be above 0 s, not 0.0"),
        ({"step_s": float("nan")}, "step_s must be above 0 s, not nan"),
        ({"reference": "water"}, "no arm 'water' in these sessions; the arms are ketamine"),
        ({"step_s": 1e-3}, "take a longer step_s"),
    ],
)
def test_wrong_arguments_are_refused(more, words):
    study = _study({"ketamine": _mixed(COURSE)}, n_animals=1, n_neurons=5)
    with pytest.raises(ValueError, match=words):
        time_courses(study, **({"reference": None} | more))


def test_several_data_sets_are_refused():
    study = _study({"ketamine": _mixed(COURSE)}, n_animals=2, n_neurons=5)
    with pytest.raises(ValueError, match="of one data set, not of 2: made, other"):
        time_courses([study[0], replace(study[1], dataset="other")], reference=None)
