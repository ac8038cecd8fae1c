"""Old, foreign, broken and hostile NWB files: each is read, or refused with one clear finding."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import bare_nwb
import h5py
import numpy as np
import pytest
from mutations import mutated

from nwbswitch.analysis.reading.outline import OUTLINES, Outline
from nwbswitch.analysis.reading.outlining import outline_of
from nwbswitch.analysis.reading.recording import open_recording
from nwbswitch.schemas.errors import InputFileError, NwbswitchError, UnsafeFileError
from nwbswitch.schemas.file_guard import open_hdf5
from nwbswitch.schemas.issues import Severity
from nwbswitch.schemas.overrides import Override

NO_ACTIVITY = "no fluorescence traces"
EXPECTED: dict[str, tuple[str, str]] = {
    "dlc_openfield/m3v1mp4DLC_resnet50_openfieldAug20shuffle1_30000.nwb": ("no-activity", NO_ACTIVITY),
    "nwb_dandi000009/sub_anm00239123_ses_20170627T093549_ecephys_and_ogen.nwb": (
        "no-epochs",
        "no analysis windows",
    ),
    "nwb_old_matnwb/S1.nwb": ("no-activity", NO_ACTIVITY),
    "nwb_old_matnwb/link_test.nwb": ("UnsafeFileError", "a link at /general/subject to another file"),
    "nwb_old_matnwb/test_output.nwb": ("no-activity", NO_ACTIVITY),
    "nwb_old_pynwb/1.0.2_nwbfile.nwb": ("no-activity", NO_ACTIVITY),
    "nwb_old_pynwb/1.0.2_str_experimenter.nwb": ("no-activity", NO_ACTIVITY),
    "nwb_old_pynwb/1.0.2_str_pub.nwb": ("no-activity", NO_ACTIVITY),
    "nwb_old_pynwb/1.1.0_nwbfile.nwb": ("no-activity", NO_ACTIVITY),
    "nwb_old_pynwb/1.1.0_str_experimenter.nwb": ("no-activity", NO_ACTIVITY),
    "nwb_old_pynwb/1.1.0_str_pub.nwb": ("no-activity", NO_ACTIVITY),
    "nwb_old_pynwb/1.5.1_imageseries_no_data.nwb": ("no-activity", NO_ACTIVITY),
    "nwb_old_pynwb/1.5.1_imageseries_no_unit.nwb": ("no-activity", NO_ACTIVITY),
    "nwb_old_pynwb/1.5.1_timeseries_no_data.nwb": ("no-activity", NO_ACTIVITY),
    "nwb_old_pynwb/1.5.1_timeseries_no_unit.nwb": ("no-activity", NO_ACTIVITY),
    "nwb_peyrache_units/tests/nwbfilestest/phy/pynapplenwb/A8604-211122.nwb": (
        "missing-value",
        "which animal",
    ),
    "nwb_v1_silverlab/MATLAB/tests/data/test_epochs.nwb": (
        "InputFileError",
        "'1.0.5i_beta' and is not NWB 2",
    ),
}
"""What is wrong with each file of other labs first of all: the error that refuses it, or its finding."""
SETTLED = {
    "subject_id": "a8604",
    "control": {"kind": "none"},
    "windows": [
        {"window": "baseline", "start_s": 1500, "stop_s": 2000},
        {"window": "drug", "start_s": 2000, "stop_s": 2500},
    ],
}
READ = {
    "nwb_dandi000009/sub_anm00239123_ses_20170627T093549_ecephys_and_ogen.nwb": (SETTLED, 4),
    "nwb_peyrache_units/tests/nwbfilestest/phy/pynapplenwb/A8604-211122.nwb": (
        SETTLED
        | {
            "windows": [
                {"window": "baseline", "start_s": 0, "stop_s": 500},
                {"window": "drug", "start_s": 500, "stop_s": 1000},
            ]
        },
        3,
    ),
}
"""What settles the files that hold activity, and how many units they have."""


def _outline(path: Path, override: Override | None = None) -> Outline:
    with open_hdf5(path) as nwb:
        return outline_of(nwb, name=str(path), override=override)


def _recorded(path: Path) -> Outline:
    with open_recording(path) as recording:
        return recording.outline


READERS: tuple[Callable[[Path], Outline], ...] = (_outline, _recorded)


def _errors(outline: Outline) -> list[tuple[str, str]]:
    return [(each.code, each.message) for each in outline.issues if each.severity is Severity.ERROR]


def test_the_table_names_every_file_of_other_labs(shared):
    folder = shared / "data"
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.nwb")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_files_of_other_labs_say_what_is_wrong(shared, name):
    path = shared / "data" / name
    before = hashlib.sha256(path.read_bytes()).digest()
    first, words = EXPECTED[name]
    if first.endswith("Error"):
        with pytest.raises(InputFileError, match=words) as caught:
            _outline(path)
        assert type(caught.value).__name__ == first
        assert str(path) in str(caught.value)
    else:
        outline = _outline(path)
        (code, message), *others = _errors(outline)
        assert (code, words in message) == (first, True)
        assert [each for each, _ in others] == (["no-epochs"] if first == "missing-value" else [])
        assert all(str(each.place).startswith(str(path)) for each in outline.issues)
    assert hashlib.sha256(path.read_bytes()).digest() == before


@pytest.mark.parametrize("name", READ)
def test_overrides_settle_what_is_missing(shared, name):
    stated, n_units = READ[name]
    outline = _outline(shared / "data" / name, Override.model_validate(stated))
    assert _errors(outline) == []
    (points,) = outline.points
    assert len(points.neurons.accepted) == n_units
    assert outline.subject.subject_id == "a8604"
    assert (
        OUTLINES.validate_json(OUTLINES.dump_json(outline)).points[0].neurons.region == points.neurons.region
    )


@pytest.mark.parametrize("name", EXPECTED)
def test_files_read_the_same_by_ranges_of_bytes(shared, name):
    path = shared / "data" / name
    seen = []
    for read in READERS:
        try:
            seen.append([(each.code, each.message) for each in read(path).issues])
        except InputFileError as error:
            seen.append([(type(error).__name__, error.problem)])
    assert seen[0] == seen[1]


@pytest.fixture
def small(tmp_path) -> Path:
    """A file with a plane, units, events and windows, all of one second's work."""
    path = tmp_path / "sub-m1_ses-1.nwb"
    with bare_nwb.bare_file(path, species="Mus musculus", subject_id="m1", genotype="Pvalb-Cre") as nwb:
        plane = bare_nwb.add_plane(
            nwb, location="VISp", indicator="GCaMP6s", description="depth 175 um", imaging_rate=10.0
        )
        columns = {"accepted": [1, 0, 1], "cell_type": ["PV", "SST", ""], "depth_um": [1.0, 2.0, 3.0]}
        cells = bare_nwb.add_segmentation(nwb, columns, n_rows=3, plane=plane)
        series = bare_nwb.typed(nwb, "processing/ophys/DfOverF/traces", "RoiResponseSeries")
        traces = np.random.default_rng(0).normal(size=(60, 3)).astype("f4")
        series.create_dataset("data", data=traces, chunks=(20, 3), compression="gzip")
        series["starting_time"] = 0.0
        series["starting_time"].attrs["rate"] = 10.0
        series["rois"] = [0, 1, 2]
        series["rois"].attrs.update({"table": cells.ref, "neurodata_type": "DynamicTableRegion"})
        nwb.create_group("general/extracellular_ephys")
        electrodes = {"location": ["VISp", "CA1"]}
        bare_nwb.add_table(nwb, "general/extracellular_ephys/electrodes", "DynamicTable", electrodes)
        spikes = ([0.5, 1.25, 5.75], [2.5], [0.25, 5.125])
        units = bare_nwb.add_units(nwb, spikes, columns={"quality": ["good", "mua", "good"]})
        bare_nwb.add_column(units, "electrodes", np.array([0, 1, 0]))
        units["electrodes_index"] = [1, 2, 3]
        units["obs_intervals"] = np.array([[0.0, 6.0]] * 3)
        units["obs_intervals_index"] = [1, 2, 3]
        events = {"timestamp": [1.5, 2.5], "roi": [0, 2]}
        table = bare_nwb.add_table(nwb, "events/calcium_events", "EventsTable", events)
        table["roi"].attrs["table"] = cells.ref
        windows = {"start_time": [0.0, 3.0], "stop_time": [2.0, 5.0], "window": ["baseline", "drug"]}
        bare_nwb.add_table(nwb, "intervals/analysis_epochs", "TimeIntervals", windows)
    return path


@pytest.mark.parametrize("read", READERS)
def test_the_small_file_is_read(small, read):
    outline = read(small)
    assert _errors(outline) == []
    assert [plane.name for plane in outline.planes] == ["Cells"]
    assert [points.name for points in outline.points] == ["units", "events/calcium_events"]
    assert outline.planes[0].neurons.cell_type == ("PV", "SST", "unknown")


def _link_out(file: h5py.File) -> None:
    del file["units/spike_times"]
    file["units/spike_times"] = h5py.ExternalLink("secret.h5", "/data")


def _store_outside(file: h5py.File) -> None:
    del file["units/spike_times"]
    outside = [("secret.bin", 0, 48)]
    file.create_dataset("units/spike_times", shape=(6,), dtype="f8", external=outside)


def _point_elsewhere(file: h5py.File) -> None:
    del file["units/spike_times"]
    layout = h5py.VirtualLayout((6,), "f8")
    layout[:] = h5py.VirtualSource("secret.h5", "data", (6,))
    file.create_virtual_dataset("units/spike_times", layout)


def _declare_terabytes(file: h5py.File) -> None:
    del file["units/spike_times"]
    file.create_dataset("units/spike_times", shape=(10**12,), dtype="f8", chunks=(1024,), compression="gzip")


def _nest(file: h5py.File) -> None:
    group = file["processing"]
    for _ in range(500):
        group = group.create_group("a")


def _loop(file: h5py.File) -> None:
    file["processing/ophys/again"] = file["processing"]


HOSTILE: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "external link": (_link_out, "another file"),
    "external storage": (_store_outside, "external storage"),
    "virtual dataset": (_point_elsewhere, "virtual dataset"),
    "declared terabytes": (_declare_terabytes, "states 8000000000000 bytes"),
    "deep nesting": (_nest, "more than 64 deep"),
}


@pytest.mark.parametrize("case", HOSTILE)
@pytest.mark.parametrize("read", READERS)
def test_hostile_files_are_refused_before_their_bytes_are_touched(small, case, read):
    edit, words = HOSTILE[case]
    small.with_name("secret.bin").write_bytes(b"password" * 6)
    with h5py.File(small.with_name("secret.h5"), "w") as secret:
        secret["data"] = np.arange(6.0)
    with h5py.File(small, "r+") as file:
        edit(file)
    with pytest.raises(UnsafeFileError, match=words) as caught:
        read(small)
    assert small.name in str(caught.value)


@pytest.mark.parametrize("read", READERS)
def test_groups_that_contain_themselves_are_walked_once(small, read):
    with h5py.File(small, "r+") as file:
        _loop(file)
    outline = read(small)
    assert [plane.name for plane in outline.planes] == ["Cells"]
    assert len(outline.points) == 2


def test_text_that_is_not_utf8_is_read_with_replacements(small):
    with h5py.File(small, "r+") as file:
        for path in ("general/subject/genotype", "units/quality", "session_description"):
            shape = file[path].shape
            del file[path]
            file[path] = np.full(shape, b"caf\xe9 \xff", dtype="S8")
        file["general/optophysiology/plane"].attrs["note"] = np.bytes_(b"\xfe\xff")
    outline = _outline(small)
    assert outline.subject.genotype == "caf� �"
    assert "damaged-text" in {each.code for each in outline.issues}


def test_tables_whose_columns_disagree_about_their_rows(small):
    with h5py.File(small, "r+") as file:
        for path in ("units/id", "processing/ophys/ImageSegmentation/Cells/id"):
            del file[path]
            file.create_dataset(path, shape=(50_000,), dtype="i8", chunks=(10_000,))
    outline = _outline(small)
    codes = {each.code for each in outline.issues}
    assert {"unusable-points", "unusable-column"} <= codes
    assert outline.planes[0].neurons.accepted[:3] == (True, True, True)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: path.write_text("not HDF5"), "cannot be opened as HDF5"),
        (lambda path: path.write_bytes(b""), "cannot be opened as HDF5"),
        (lambda path: path.mkdir(), "is not a file"),
        (lambda path: None, "is not there"),
    ],
)
def test_what_is_no_file_of_hdf5_is_refused_by_name(tmp_path, make, words):
    path = tmp_path / "x.nwb"
    make(path)
    with pytest.raises(InputFileError, match=words) as caught:
        _outline(path)
    assert "x.nwb" in str(caught.value)


@pytest.mark.parametrize("version", ["1.0.5", "NWB-1.0.6", "", "3.0.0"])
def test_other_versions_are_refused(small, version):
    with h5py.File(small, "r+") as file:
        file.attrs["nwb_version"] = version
    with pytest.raises(InputFileError, match="not NWB 2"):
        _outline(small)


FUZZED = (
    "small",
    "nwb_old_pynwb/1.0.2_nwbfile.nwb",
    "nwb_old_matnwb/S1.nwb",
    "nwb_old_matnwb/test_output.nwb",
)


@pytest.mark.parametrize("seed", range(len(FUZZED)), ids=FUZZED)
def test_damaged_copies_raise_nothing_but_our_errors(small, shared, tmp_path, seed):
    path = tmp_path / "copy.nwb"
    shutil.copyfile(small if FUZZED[seed] == "small" else shared / "data" / FUZZED[seed], path)
    original = path.read_bytes()
    refused: list[str] = []
    read = 0
    for copy in mutated(original, 75, seed=seed):
        path.write_bytes(copy)
        try:
            outline = _outline(path)
        except NwbswitchError as error:
            refused.append(str(error))
        else:
            assert all(each.message for each in outline.issues)
            read += 1
    assert len(refused) > 10
    assert all("copy.nwb" in each for each in refused)
    assert read > 5
