"""Units and event tables: who, when, where, and in which spans; what is unclear is asked for."""

from __future__ import annotations

import math
import tracemalloc

import bare_nwb
import numpy as np
import pytest

from nwbswitch.analysis.reading.outline import PointKind
from nwbswitch.analysis.reading.point_times import look_at_times
from nwbswitch.analysis.reading.points import find_points
from nwbswitch.schemas.file_guard import open_hdf5
from nwbswitch.schemas.overrides import Choice

SPIKES = ([0.5, 1.25, 9.75], [2.5], [0.25, 30.125])


@pytest.fixture
def nwb(tmp_path):
    with bare_nwb.bare_file(tmp_path / "a.nwb", species="Mus musculus", subject_id="m1") as file:
        yield file


def _find(nwb, **how):
    found = []
    return find_points(nwb, name="a.nwb", found=found, **how), found


def _one(nwb, **how):
    (points,), found = _find(nwb, **how)
    return points, found


def _codes(found):
    return [each.code for each in found if each.code != "not-stated"]


def _add_electrodes(nwb, locations):
    nwb.create_group("general/extracellular_ephys")
    return bare_nwb.add_table(
        nwb, "general/extracellular_ephys/electrodes", "DynamicTable", {"location": list(locations)}
    )


def test_units_as_nwb_wants_them(nwb):
    bare_nwb.add_units(nwb, SPIKES, columns={"cell_type": ["PV", "SST", "excitatory"]})
    points, found = _one(nwb)
    assert (points.name, points.kind, points.conversion_s, points.in_order) == (
        "units",
        PointKind.SPIKES,
        1.0,
        True,
    )
    assert points.times.shape == (6,)
    assert points.times.object_path == "/units/spike_times"
    assert points.ends.tolist() == [3, 4, 6]
    assert points.ends.dtype == np.int64
    assert points.owners is None
    assert points.neurons.accepted == (True,) * 3
    assert points.neurons.cell_type == ("PV", "SST", "excitatory")
    assert (points.observed_start_s, points.observed_stop_s) == ((0.25,), (30.125,))
    assert _codes(found) == []


def test_units_of_processing_modules_have_names_of_their_own(nwb):
    bare_nwb.add_units(nwb, SPIKES)
    bare_nwb.add_units(nwb, SPIKES[:2], path="processing/ecephys/probe_b")
    points, _ = _find(nwb)
    assert [each.name for each in points] == ["units", "ecephys/probe_b"]
    assert points[1].ends.tolist() == [3, 4]


def test_no_units_are_no_points(nwb):
    assert _find(nwb) == ((), [])


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("quality", ["good", "mua", "good"]),
        ("quality", ["good", "noise", "good"]),
        ("phy_group", ["good", "noise", "good"]),
        ("group", ["good", "mua", "good"]),
        ("KSLabel", ["good", "mua", "good"]),
        ("default_qc", ["pass", "fail", "pass"]),
        ("default_qc", [True, False, True]),
        ("ibl_quality_score", [1.0, 2 / 3, 1.0]),
        ("label", ["SUA", "MUA", "SUA"]),
        ("unit_type", ["single unit", "multi unit", "single-unit"]),
        ("is_noise", [0, 1, 0]),
        ("accepted", [1, 0, 1]),
    ],
)
def test_quality_flags_with_one_meaning(nwb, column, values):
    bare_nwb.add_units(nwb, SPIKES, columns={column: values})
    points, found = _one(nwb)
    assert points.neurons.accepted == (True, False, True)
    assert _codes(found) == []


@pytest.mark.parametrize(
    "columns",
    [
        {"group": [0, 0, 1]},
        {"label": [0.0, 1.0, 2.0]},
        {"quality": ["", "", ""]},
        {"waveform_duration": [0.2, 0.5, 0.3]},
    ],
)
def test_columns_of_other_meaning_decide_nothing(nwb, columns):
    bare_nwb.add_units(nwb, SPIKES, columns=columns)
    points, found = _one(nwb)
    assert points.neurons.accepted == (True,) * 3
    assert points.neurons.cell_type == ("unknown",) * 3
    assert _codes(found) == []


@pytest.mark.parametrize("values", [[1, 0, 1], [1, 2, 3], [0.3, 0.9, 1.0], ["A", "B", "A"]])
def test_grades_of_an_unknown_scale_are_asked_for(nwb, values):
    bare_nwb.add_units(nwb, SPIKES, columns={"quality": values})
    points, found = _one(nwb)
    assert points.neurons.accepted == (True,) * 3
    assert _codes(found) == ["unclear-value"]
    assert "points:" in found[0].remedy
    assert "column: quality" in found[0].remedy
    choice = Choice(column="quality", values=(str(values[0]),))
    points, found = _one(nwb, accepted=choice)
    assert points.neurons.accepted == tuple(each == values[0] for each in values)
    assert _codes(found) == []


def test_unsorted_clusters_are_not_accepted(nwb):
    bare_nwb.add_units(nwb, SPIKES, columns={"quality": ["good", "unsorted", "mua"]})
    points, found = _one(nwb)
    assert points.neurons.accepted == (True, False, False)
    assert "'unsorted' in 1 of 3" in found[0].message


def test_what_people_decided_comes_before_what_kilosort_proposed(nwb):
    columns = {"quality": ["good", "mua", "good"], "KSLabel": ["mua", "mua", "good"]}
    bare_nwb.add_units(nwb, SPIKES, columns=columns)
    points, found = _one(nwb)
    assert points.neurons.accepted == (True, False, True)
    assert _codes(found) == []


def test_decisions_that_contradict_each_other_are_a_finding(nwb):
    columns = {"quality": ["good", "mua", "good"], "default_qc": ["pass", "pass", "fail"]}
    bare_nwb.add_units(nwb, SPIKES, columns=columns)
    points, found = _one(nwb)
    assert points.neurons.accepted == (True, False, False)
    assert _codes(found) == ["unclear-value"]


def test_putative_types_are_used_and_named(nwb):
    bare_nwb.add_units(nwb, SPIKES, columns={"putative cell type": ["pyramidal", "PV", "FS"]})
    points, found = _one(nwb)
    assert points.neurons.cell_type == ("pyramidal", "PV", "unknown")
    assert sorted(_codes(found)) == ["proposed-value", "unclear-value"]


def test_electrodes_say_where_units_are(nwb):
    _add_electrodes(nwb, ["VISp2/3", "VISp5", "CA1", "brain_region: Thalamus; cortical_layer: N/A", ""])
    units = bare_nwb.add_units(nwb, SPIKES)
    bare_nwb.add_column(units, "electrodes", np.array([0, 1, 2, 3, 4]))
    units["electrodes_index"] = np.array([1, 3, 5], dtype=np.uint8)
    points, found = _one(nwb)
    assert points.neurons.region == ("VISp", "unknown", "TH")
    assert points.neurons.layer == ("2/3", "", "")
    assert _codes(found) == ["unclear-region"]


@pytest.mark.parametrize("refers", [False, True])
def test_the_peak_electrode_comes_first(nwb, refers):
    electrodes = _add_electrodes(nwb, ["VISp", "CA1", "TH"])
    if not refers:
        electrodes["id"][...] = [850, 851, 852]
    units = bare_nwb.add_units(nwb, SPIKES)
    column = bare_nwb.add_column(
        units,
        "max_electrode" if refers else "peak_channel_id",
        [0, 2, 1] if refers else [850.0, 852.0, math.nan],
    )
    if refers:
        column.attrs["table"] = electrodes.ref
    points, found = _one(nwb)
    assert points.neurons.region == ("VISp", "TH", "CA1" if refers else "unknown")
    assert _codes(found) == []


def test_columns_of_units_and_groups_say_where_too(nwb):
    group = bare_nwb.typed(nwb, "general/extracellular_ephys/probe", "ElectrodeGroup")
    group.attrs["location"] = "left V1"
    units = bare_nwb.add_units(nwb, SPIKES)
    units.create_dataset("electrode_group", data=[group.ref] * 3, dtype=bare_nwb.h5py.ref_dtype)
    assert _one(nwb)[0].neurons.region == ("VISp",) * 3
    bare_nwb.add_column(units, "location", ["", "CA1", "mPFC"])
    points, found = _one(nwb)
    assert points.neurons.region == ("VISp", "CA1", "mPFC")
    assert _codes(found) == ["unclear-region"]


def test_electrodes_that_are_not_there_are_a_finding(nwb):
    _add_electrodes(nwb, ["VISp"])
    units = bare_nwb.add_units(nwb, SPIKES)
    bare_nwb.add_column(units, "electrodes", np.array([0, 7, -1]))
    units["electrodes_index"] = [1, 2, 3]
    points, found = _one(nwb)
    assert points.neurons.region == ("VISp", "unknown", "unknown")
    assert _codes(found) == ["unusable-column"]


def _observe(nwb, *intervals):
    flat = [pair for each in intervals for pair in each]
    nwb["units/obs_intervals"] = np.array(flat, dtype=float).reshape(-1, 2)
    nwb["units/obs_intervals_index"] = np.cumsum([len(each) for each in intervals])


def test_intervals_of_all_units(nwb):
    bare_nwb.add_units(nwb, SPIKES)
    _observe(nwb, *[[(0, 10), (8, 20), (30, 40)]] * 3)
    points, found = _one(nwb)
    assert points.observed_start_s == (0, 30)
    assert points.observed_stop_s == (20, 40)
    assert _codes(found) == []


def test_units_with_intervals_of_their_own_are_groups(nwb):
    bare_nwb.add_units(nwb, SPIKES, columns={"quality": ["good", "good", "good"]})
    _observe(nwb, [(0, 10)], [(0, 40)], [(0, 10)])
    points, found = _find(nwb)
    assert [each.name for each in points] == ["units:1", "units:2"]
    assert [each.observed_stop_s for each in points] == [(10,), (40,)]
    assert [each.neurons.accepted for each in points] == [(True, False, True), (False, True, False)]
    assert all(each.ends.tolist() == [3, 4, 6] for each in points)
    assert _codes(found) == []


def test_units_without_intervals_were_not_observed(nwb):
    bare_nwb.add_units(nwb, SPIKES)
    _observe(nwb, [(0, 40)], [], [(5, 5), (9, math.nan)])
    points, found = _one(nwb)
    assert points.neurons.accepted == (True, False, False)
    assert _codes(found) == ["suspect-times", "suspect-times"]


def test_many_different_intervals_are_shared(nwb):
    bare_nwb.add_units(nwb, [[1.0]] * 12)
    _observe(nwb, *[[(row, 100), (200, 300 - row)] for row in range(12)])
    points, found = _one(nwb)
    assert (points.observed_start_s, points.observed_stop_s) == ((11, 200), (100, 289))
    assert _codes(found) == ["suspect-times"]


def test_the_electrical_series_says_when_units_were_recorded(nwb):
    series = bare_nwb.typed(nwb, "acquisition/raw", "ElectricalSeries")
    series.create_dataset("data", shape=(30_000 * 100, 4), dtype="i2", chunks=(1000, 4))
    series["starting_time"] = 5.0
    series["starting_time"].attrs["rate"] = 30_000.0
    bare_nwb.add_units(nwb, SPIKES)
    points, _ = _one(nwb)
    assert (points.observed_start_s, points.observed_stop_s) == ((5,), (105,))


def test_times_out_of_order_are_marked(nwb):
    bare_nwb.add_units(nwb, [[3.0, 1.0, 2.0], [0.5]])
    points, found = _one(nwb)
    assert not points.in_order
    assert _codes(found) == ["suspect-times"]
    assert any("1 spike times come before" in each.message for each in found)


def test_times_before_the_session_and_missing_times(nwb):
    bare_nwb.add_units(nwb, [[-3.5, 1.0, math.nan], [0.5, math.inf]])
    points, found = _one(nwb)
    assert not points.in_order
    assert (points.observed_start_s, points.observed_stop_s) == ((-3.5,), (1.0,))
    assert _codes(found) == ["suspect-times", "suspect-times"]


@pytest.mark.parametrize(
    ("times", "rate"),
    [
        (np.arange(40, dtype=np.int64) * 3000, "whole numbers (int64)"),
        (np.arange(40, dtype=float) * 3000, "all whole numbers"),
        (np.linspace(0.1, 1e9, 40), "go on to 1e+09"),
        (np.linspace(0.1, 9e5, 40), "while the session ends at 30 s"),
    ],
)
def test_times_in_another_unit_are_asked_for(nwb, times, rate):
    bare_nwb.add_table(
        nwb, "intervals/trials", "TimeIntervals", {"start_time": [0.0, 10.0], "stop_time": [9.0, 30.0]}
    )
    units = bare_nwb.add_units(nwb, [times])
    del units["spike_times"]
    units["spike_times"] = times
    units["spike_times"].attrs["resolution"] = 1 / 30_000
    points, found = _find(nwb)
    assert points == ()
    assert _codes(found) == ["unclear-value"]
    assert rate in found[-1].message
    assert "may be 30000 Hz" in found[-1].message
    assert "points_unit_s: 3.33" in found[-1].remedy
    points, found = _one(nwb, unit_s=1 / 30_000)
    assert points.conversion_s == 1 / 30_000
    assert points.observed_stop_s[0] == pytest.approx(times[-1] / 30_000)
    assert _codes(found) == []


def test_few_whole_seconds_are_seconds(nwb):
    bare_nwb.add_units(nwb, [[1.0, 2.0], [3.0]])
    assert _one(nwb)[0].conversion_s == 1.0


def test_units_without_spikes(nwb):
    bare_nwb.add_units(nwb, [[1.5], [], [2.5], []])
    points, found = _one(nwb)
    assert points.ends.tolist() == [1, 1, 2, 2]
    assert points.neurons.accepted == (True,) * 4
    assert _codes(found) == []


def test_one_unit_without_an_index(nwb):
    units = bare_nwb.typed(nwb, "units", "Units")
    units["id"] = [0]
    bare_nwb.add_column(units, "spike_times", [0.5, 1.5])
    assert _one(nwb)[0].ends.tolist() == [2]


def _set(path, value):
    def edit(units):
        if path in units:
            del units[path]
        if value is not None:
            units[path] = value

    return edit


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (_set("spike_times_index", [4, 3, 6]), "decreases"),
        (
            _set("spike_times_index", np.array([3, 4, 2**62], dtype=np.uint64)),
            "ends at 4611686018427387904 of 6",
        ),
        (
            _set("spike_times_index", np.array([3, 4, 2**64 - 1], dtype=np.uint64)),
            "ends at 18446744073709551615 of 6",
        ),
        (_set("spike_times_index", [-1, 3, 6]), "ends at"),
        (_set("spike_times_index", [3.0, 4.0, 6.0]), "no list of whole numbers"),
        (_set("spike_times_index", [3, 6]), "names 3 and 2 units"),
        (_set("spike_times_index", None), "no index"),
        (_set("spike_times", None), "holds no spike times"),
        (_set("spike_times", [b"a"] * 6), "expected a list of numbers"),
        (_set("spike_times", np.zeros((6, 2))), "expected a list of numbers"),
        (_set("spike_times_index", [0, 0, 0]), "None of the units has a spike"),
    ],
)
def test_broken_tables_are_left_out_with_a_finding(nwb, edit, words):
    edit(bare_nwb.add_units(nwb, SPIKES))
    points, found = _find(nwb)
    assert points == ()
    assert len(_codes(found)) == 1
    assert words in found[0].message


def test_spikes_of_nobody_are_a_finding(nwb):
    _set("spike_times_index", [2, 3, 4])(bare_nwb.add_units(nwb, SPIKES))
    points, found = _one(nwb)
    assert points.ends.tolist() == [2, 3, 4]
    assert "2 spike times at the end" in found[0].message


def test_ten_million_spikes_in_flat_memory(nwb):
    n_units, n_each = 100, 100_000
    units = bare_nwb.typed(nwb, "units", "Units")
    units["id"] = np.arange(n_units)
    units["spike_times_index"] = np.arange(1, n_units + 1) * n_each
    times = units.create_dataset("spike_times", shape=(n_units * n_each,), dtype="f8", chunks=(n_each,))
    for unit in range(n_units):
        times[unit * n_each : (unit + 1) * n_each] = np.arange(n_each) * 0.03 + unit / 1000
    tracemalloc.start()
    try:
        points, found = _one(nwb)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert points.ends[-1] == 10_000_000
    assert points.observed_stop_s[0] == pytest.approx(3000.0, abs=0.2)
    assert _codes(found) == []
    assert peak < 20e6


@pytest.mark.parametrize("block", [1, 2, 3, 7])
def test_steps_back_are_counted_within_rows_whatever_the_blocks(nwb, monkeypatch, block):
    monkeypatch.setattr("nwbswitch.analysis.reading.point_times.BLOCK", block)
    rng = np.random.default_rng(block)
    for trial in range(20):
        lengths = rng.integers(0, 8, 5)
        ends = np.cumsum(lengths)
        values = rng.integers(0, 5, ends[-1]).astype(float)
        dataset = nwb.create_dataset(f"times_{trial}", data=values)
        rows = np.split(values, ends[:-1])
        seen = look_at_times(dataset, ends)
        assert seen.n_backwards == sum(int((np.diff(row) < 0).sum()) for row in rows)
        assert seen.n_seen == values.size


def test_spikes_of_a_lab_as_pynapple_and_pynwb_count_them(shared):
    nap = pytest.importorskip("pynapple")
    from pynwb import NWBHDF5IO

    path = next((shared / "data/nwb_peyrache_units").rglob("*.nwb"))
    with open_hdf5(path) as nwb:
        points, _ = _one(nwb)
        times = nwb["units/spike_times"][()]
    ours = [part.size for part in np.split(times, points.ends[:-1])]
    with NWBHDF5IO(path, "r") as io:
        units = io.read().units
        assert ours == [len(units["spike_times"][row]) for row in range(len(units))]
    theirs = nap.NWBFile(str(path))["units"]
    assert ours == [len(each) for each in theirs.values()]
    assert ours == [11020, 4690, 5644]


def test_units_of_a_lab_on_dandi(shared):
    path = next((shared / "data/nwb_dandi000009").glob("*.nwb"))
    with open_hdf5(path) as nwb:
        points, found = _one(nwb)
    assert points.ends.tolist() == [12992, 16450, 19164, 34057]
    assert points.neurons.region == ("TH",) * 4
    assert points.neurons.cell_type == ("unknown",) * 4
    assert sorted(_codes(found)) == ["proposed-value", "unclear-value"]


def test_tables_as_pynwb_writes_them(tmp_path):
    from datetime import UTC, datetime

    from pynwb import NWBHDF5IO, NWBFile
    from pynwb.file import Subject

    file = NWBFile(
        "d", "i", datetime(2026, 1, 1, tzinfo=UTC), subject=Subject(subject_id="m1", species="Mus musculus")
    )
    group = file.create_electrode_group("g", "d", "VISp", file.create_device("probe"))
    for location in ("VISp2/3", "VISp2/3", "CA1"):
        file.add_electrode(location=location, group=group)
    file.add_unit_column("quality", "Curated by hand.")
    file.add_unit_column("depth_um", "Below the pia.")
    for quality, electrodes, spikes in (
        ("good", [0, 1], [0.5, 1.5]),
        ("mua", [2], []),
        ("good", [1, 2], [3.0]),
    ):
        file.add_unit(
            spike_times=spikes,
            electrodes=electrodes,
            electrode_group=group,
            obs_intervals=[[0.0, 9.0]],
            quality=quality,
            depth_um=120.0,
        )
    with NWBHDF5IO(tmp_path / "b.nwb", "w") as io:
        io.write(file)
    with open_hdf5(tmp_path / "b.nwb") as nwb:
        points, found = _one(nwb)
    assert points.ends.tolist() == [2, 2, 3]
    assert points.neurons.accepted == (True, False, True)
    assert points.neurons.region == ("VISp", "CA1", "unknown")
    assert points.neurons.layer == ("2/3", "", "")
    assert points.neurons.depth_um == (120.0,) * 3
    assert (points.observed_start_s, points.observed_stop_s) == ((0.0,), (9.0,))
    assert _codes(found) == ["unclear-region"]


@pytest.mark.parametrize("obs_end", [None, 60.0, 60_000.0])
def test_spikes_in_ms_are_asked_about_where_nothing_says_when_the_session_ended(nwb, obs_end):
    spikes = [np.sort(np.random.default_rng(n).uniform(0, 60_000, 300)) for n in range(3)]
    units = bare_nwb.add_units(nwb, spikes)
    if obs_end:
        units["obs_intervals"] = np.array([[0.0, obs_end]] * 3)
        units["obs_intervals_index"] = [1, 2, 3]
    points, found = _find(nwb)
    if obs_end == 60_000.0:
        assert len(points) == 1, "its intervals are in the same unit, and 17 hours may be"
        return
    assert points == ()
    assert _codes(found) == ["unclear-value"]
    assert "points_unit_s: FILL IN" in found[0].remedy
    (points,), _ = _find(nwb, unit_s=0.001)
    assert points.conversion_s == 0.001
