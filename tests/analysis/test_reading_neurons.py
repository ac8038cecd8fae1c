"""ROIs of foreign tables: every lab's flags, types, depths and identities, and nothing guessed silently."""

from __future__ import annotations

import math
from pathlib import Path

import bare_nwb
import h5py
import numpy as np
import pytest

from nwbswitch.analysis.reading.cell_types import cell_type_word
from nwbswitch.analysis.reading.depths import depths_in
from nwbswitch.analysis.reading.imaging import imaging_facts
from nwbswitch.analysis.reading.neurons import roi_neurons
from nwbswitch.schemas.overrides import Choice

NAN = math.nan
YES_NO_YES = (True, False, True)


@pytest.fixture
def nwb(tmp_path):
    with bare_nwb.bare_file(tmp_path / "a.nwb", species="Mus musculus", subject_id="m1") as file:
        yield file


def _read(nwb, columns, *, n_rows=3, plane=None, accepted=None, edit=None):
    facts = {"location": "VISp", "description": "d", "indicator": "GCaMP6s"} if plane is None else plane
    segmentation = bare_nwb.add_segmentation(
        nwb, columns, n_rows=n_rows, plane=bare_nwb.add_plane(nwb, **facts)
    )
    if edit is not None:
        edit(segmentation)
    found = []
    neurons = roi_neurons(nwb, segmentation, n_rows, found=found, name="a.nwb", accepted=accepted)
    assert {len(getattr(neurons, name)) for name in neurons.__slots__} == {n_rows}
    return neurons, found


def _codes(found, *, without=("not-stated",)):
    return [each.code for each in found if each.code not in without]


def test_our_own_table(nwb):
    columns = {
        "accepted": np.array([True, False, True]),
        "cell_type": ["excitatory", "SST", "PV"],
        "roi_basis": ["anatomical"] * 3,
        "tracking_id": ["t0", "t1", "t2"],
        "depth_um": [200.0, 210.0, NAN],
    }
    neurons, found = _read(nwb, columns)
    assert neurons.accepted == YES_NO_YES
    assert neurons.cell_type == ("excitatory", "SST", "PV")
    assert neurons.roi_basis == ("anatomical",) * 3
    assert neurons.tracking_id == ("t0", "t1", "t2")
    assert neurons.region == ("VISp",) * 3
    assert neurons.depth_um[:2] == (200.0, 210.0)
    assert math.isnan(neurons.depth_um[2])
    assert found == []


def test_what_is_not_stated_is_unknown_and_one_note(nwb):
    neurons, found = _read(nwb, {}, plane={})
    assert neurons.accepted == (True,) * 3
    assert neurons.cell_type == neurons.region == neurons.roi_basis == ("unknown",) * 3
    assert neurons.tracking_id == neurons.layer == ("",) * 3
    assert all(map(math.isnan, neurons.depth_um))
    assert _codes(found, without=()) == ["not-stated"]
    assert "cell type, area, depth" in found[0].message


def test_traces_without_a_segmentation_take_the_only_imaging_plane(nwb):
    bare_nwb.add_plane(nwb, location="RSPd", indicator="GCaMP8m")
    found = []
    assert roi_neurons(nwb, None, 2, found=found, name="a.nwb").region == ("RSPd", "RSPd")
    bare_nwb.add_plane(nwb, "other", location="VISp")
    assert roi_neurons(nwb, None, 2, found=found, name="a.nwb").region == ("unknown", "unknown")
    assert "No imaging plane" in found[-1].message


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("accepted", np.array([True, False, True])),
        ("Accepted", [1, 0, 1]),
        ("Rejected", [0, 1, 0]),
        ("iscell", [[1.0, 0.9], [0.0, 0.2], [1.0, 0.8]]),
        ("is_cell", [1.0, 0.0, 1.0]),
        ("valid_roi", np.array([1, 0, 1], dtype=np.uint8)),
        ("is_soma", np.array([True, False, True])),
        ("keep", [1, 0, 1]),
        ("excluded", np.array([False, True, False])),
        ("accepted", ["True", "False", "True"]),
        ("classification", ["cell", "not cell", "cell"]),
        ("curation", ["good", "noise", "good"]),
    ],
)
def test_flags_of_all_labs(nwb, column, values):
    neurons, found = _read(nwb, {column: values})
    assert neurons.accepted == YES_NO_YES
    assert _codes(found) == []


def test_flags_that_agree_are_no_finding_and_flags_that_differ_are_one(nwb):
    columns = {"Accepted": [1, 0, 1], "Rejected": [0, 1, 0], "iscell": [[1, 0.9], [0, 0.1], [0, 0.2]]}
    neurons, found = _read(nwb, columns)
    assert neurons.accepted == (True, False, False)
    assert _codes(found) == ["unclear-value"]
    assert "contradict each other about 1 of 3" in found[0].message
    assert "accepted: {column: Accepted}" in found[0].remedy


@pytest.mark.parametrize("values", [[0.3, 0.5, 1.0], [1, 2, 3], [1.0, NAN, 0.0], ["perhaps", "so", "so"]])
def test_a_flag_of_no_clear_meaning_is_asked_for(nwb, values):
    neurons, found = _read(nwb, {"accepted": values})
    assert neurons.accepted == (True,) * 3
    assert _codes(found) == ["unclear-value"]
    assert "FILL IN" in found[0].remedy


def test_a_word_of_no_clear_meaning_leaves_its_row_out(nwb):
    neurons, found = _read(nwb, {"curation": ["good", "fair", "noise"]})
    assert neurons.accepted == (True, False, False)
    assert _codes(found) == ["unclear-value"]
    assert "'fair' in 1 of 3" in found[0].message


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(column="score", above=0.5), (False, True, True)),
        (Choice(column="kind", values=("Cell",)), (True, False, True)),
        (Choice(column="number", values=("1", "3")), (True, False, True)),
        (Choice(column="keep"), (False, True, False)),
    ],
)
def test_the_overrides_decide_alone(nwb, choice, expected):
    columns = {
        "iscell": [1, 1, 0],
        "score": [0.1, 0.6, 0.9],
        "kind": ["cell", "glia", "cell"],
        "number": [1.0, 2.0, 3.0],
        "keep": [0, 1, 0],
    }
    neurons, found = _read(nwb, columns, accepted=choice)
    assert neurons.accepted == expected
    assert _codes(found) == []


@pytest.mark.parametrize("choice", [Choice(column="is_cell"), Choice(column="kind", above=0.5)])
def test_an_override_of_a_column_that_cannot_be_used_is_an_error(nwb, choice):
    _, found = _read(nwb, {"iscell": [1, 1, 0], "kind": ["a", "b", "c"]}, accepted=choice)
    assert _codes(found) == ["override-unused"]
    assert "iscell" in found[0].remedy


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("Pvalb", "PV"),
        ("parvalbumin", "PV"),
        ("PV+", "PV"),
        ("Sst-IRES-Cre", "SST"),
        ("putative pyramidal", "pyramidal"),
        ("Pyramidal Cells", "pyramidal"),
        ("VIP interneurons", "VIP"),
        ("excitatory neuron", "excitatory"),
        ("Narrow width spiking", None),
        ("FS", None),
        ("", None),
    ],
)
def test_words_for_cell_types(words, expected):
    assert cell_type_word(words) == expected


def test_types_that_the_vocabulary_lacks_are_reported(nwb):
    neurons, found = _read(nwb, {"cell_type": ["Pvalb", "wide spiking", ""]})
    assert neurons.cell_type == ("PV", "unknown", "unknown")
    assert _codes(found) == ["unclear-value"]
    assert "'wide spiking'" in found[0].message


def test_putative_types_say_so(nwb):
    neurons, found = _read(nwb, {"putative_cell_type": ["pyramidal", "inhibitory", "pyramidal"]})
    assert neurons.cell_type == ("pyramidal", "inhibitory", "pyramidal")
    assert _codes(found) == ["proposed-value"]


def test_two_columns_of_types_that_differ_leave_the_row_unknown(nwb):
    neurons, found = _read(nwb, {"cell_type": ["PV", "SST", ""], "cell_class": ["PV", "VIP", "excitatory"]})
    assert neurons.cell_type == ("PV", "unknown", "excitatory")
    assert _codes(found) == ["unclear-value"]


def test_enumerated_types(nwb):
    def edit(table):
        names = bare_nwb.add_column(table, "cell_type_elements", ["PV", "excitatory"])
        table["cell_type"].attrs["neurodata_type"] = "EnumData"
        table["cell_type"].attrs["elements"] = names.ref

    neurons, found = _read(nwb, {"cell_type": np.array([0, 1, 0], dtype=np.uint8)}, edit=edit)
    assert neurons.cell_type == ("PV", "excitatory", "PV")
    assert _codes(found) == []


@pytest.mark.parametrize(
    ("genotype", "proposed"),
    [
        ("Ai32 x PV-Cre", "PV"),
        ("Slc17a7-IRES2-Cre/wt;Camk2a-tTA/wt;Ai93(TITL-GCaMP6f)", "excitatory"),
        ("Sst-IRES-Cre/wt", "SST"),
        ("Ntsr1-Cre_GN220/wt", "CT"),
        ("Cux2-CreERT2", "excitatory"),
    ],
)
def test_driver_lines_are_proposed_and_not_used(nwb, genotype, proposed):
    nwb["general/subject/genotype"] = genotype
    neurons, found = _read(nwb, {})
    assert neurons.cell_type == ("unknown",) * 3
    assert _codes(found) == ["proposed-value"]
    assert f"cell_type: {proposed}" in found[0].remedy


def test_wild_type_hints_at_nothing_and_two_lines_propose_none(nwb):
    nwb["general/subject/genotype"] = "wt/wt, increased weight"
    assert _codes(_read(nwb, {})[1]) == []
    nwb["general/subject/strain"] = "Pvalb-IRES-Cre; Sst-IRES-Flpo"
    found = []
    roi_neurons(nwb, nwb["processing/ophys/ImageSegmentation/Cells"], 3, found=found, name="a.nwb")
    assert _codes(found) == ["proposed-value"]
    assert "PV and SST" in found[0].message
    assert found[0].remedy == ""


def test_a_red_channel_does_not_say_what_is_red(nwb):
    neurons, found = _read(nwb, {"redcell": [[1.0, 0.9], [0.0, 0.1], [0.0, 0.2]]})
    assert neurons.cell_type == ("unknown",) * 3
    assert "marks 1 of 3" in found[0].message


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("cell_specimen_id", np.array([1086500000, -1, 1086500007]), ("1086500000", "", "1086500007")),
        ("global_id", [4.0, NAN, 7.0], ("4", "", "7")),
        ("registered_id", ["a", "", "b"], ("a", "", "b")),
        ("ROICaT_UCID", [0, 1, -1], ("0", "1", "")),
    ],
)
def test_identities_over_sessions(nwb, column, values, expected):
    neurons, found = _read(nwb, {column: values})
    assert neurons.tracking_id == expected
    assert _codes(found) == []


def test_identities_of_several_neurons_or_columns_are_none(nwb):
    neurons, found = _read(nwb, {"global_id": [4, 4, 7]})
    assert neurons.tracking_id == ("", "", "7")
    assert _codes(found) == ["unclear-value"]


def test_two_columns_of_identities_are_unclear_unless_one_is_ours(nwb):
    columns = {"global_id": [4, 5, 7], "cell_specimen_id": [1, 2, 3]}
    neurons, found = _read(nwb, columns)
    assert neurons.tracking_id == ("", "", "")
    assert _codes(found) == ["unclear-value"]
    table = nwb["processing/ophys/ImageSegmentation/Cells"]
    bare_nwb.add_column(table, "tracking_id", ["x", "y", "z"])
    assert roi_neurons(nwb, table, 3, found=[], name="a.nwb").tracking_id == ("x", "y", "z")


@pytest.mark.parametrize(
    ("words", "depths"),
    [
        ("Imaging at a depth of 175 um", (175.0,)),
        ("(512, 512) field of view in VISp at depth 175 um", (175.0,)),
        ("Depth: 0.2 mm", (200.0,)),
        ("L2/3, 150 µm below the pia", (150.0,)),
        ("250 microns below the surface of the cortex", (250.0,)),
        ("depth_um: 300", (300.0,)),
        ("plane 3, 120 um deep", (120.0,)),
        ("depth -180 um", (180.0,)),
        ("depth 175", ()),
        ("depth 150-200 um", ()),
        ("100 to 200 um deep", ()),
        ("depth of field 2 um", ()),
        ("512 x 512 pixels of 1.2 um", ()),
        ("DV depth 2.5 mm from bregma", ()),
        ("z step 10 um, depth 100 um and depth 200 um", (100.0, 200.0)),
        ("depth 99 mm", ()),
        ("", ()),
    ],
)
def test_depths_in_words(words, depths):
    assert depths_in(words) == depths


def test_depth_and_layer_of_the_plane_hold_for_rois_without_their_own(nwb):
    plane = {"location": "VISp", "description": "Layer 2/3, depth 175 um", "indicator": "GCaMP6f"}
    neurons, _ = _read(nwb, {"depth_um": [NAN, 180.0, NAN]}, plane=plane)
    assert neurons.depth_um == (175.0, 180.0, 175.0)
    assert neurons.layer == ("2/3",) * 3


@pytest.mark.parametrize(
    ("facts", "depth_um"),
    [
        ({"origin_coords": ([0.0, 0.0, 2e-4], "meters"), "reference_frame": "z from the pia"}, 200.0),
        ({"origin_coords": ([0.0, 0.0, 0.15], "mm"), "reference_frame": "brain surface"}, 150.0),
        ({"origin_coords": ([0.0, 0.0, 2e-4], "meters"), "reference_frame": "bregma"}, NAN),
        ({"origin_coords": ([0.0, 0.0, 2e-4], "furlongs"), "reference_frame": "pia"}, NAN),
        ({"origin_coords": ([0.0, 2e-4], "meters"), "reference_frame": "pia"}, NAN),
    ],
)
def test_depth_by_coordinates(nwb, facts, depth_um):
    neurons, found = _read(nwb, {}, plane={"location": "VISp"} | facts)
    np.testing.assert_equal(neurons.depth_um, [depth_um] * 3)
    assert _codes(found) == []


def test_depths_that_differ_are_none(nwb):
    plane = {"location": "VISp, depth 175 um", "description": "imaged at a depth of 300 um"}
    neurons, found = _read(nwb, {}, plane=plane)
    assert all(map(math.isnan, neurons.depth_um))
    assert _codes(found) == ["unclear-value"]
    assert "175 um" in found[0].message
    assert "300 um" in found[0].message


def test_depth_of_the_allen_institute(nwb):
    metadata = bare_nwb.typed(nwb, "general/metadata", "OphysBehaviorMetadata")
    metadata.attrs["imaging_depth"] = np.int64(275)
    assert _read(nwb, {})[0].depth_um == (275.0,) * 3


def test_a_column_of_depths_without_a_unit_is_asked_for(nwb):
    neurons, found = _read(nwb, {"depth": [100.0, 200.0, 300.0]})
    assert all(map(math.isnan, neurons.depth_um))
    assert _codes(found) == ["unclear-value"]
    table = nwb["processing/ophys/ImageSegmentation/Cells"]
    table["depth"].attrs["description"] = "Depth below the pia in um."
    assert roi_neurons(nwb, table, 3, found=[], name="a.nwb").depth_um == (100.0, 200.0, 300.0)


def test_regions_of_rois_come_before_that_of_the_plane(nwb):
    columns = {"brain_area": ["VISl", "", "V1 L4"], "layer": ["2/3", "5", ""], "area": [101.5, 88.0, 90.0]}
    neurons, found = _read(nwb, columns)
    assert neurons.region == ("VISl", "VISp", "VISp")
    assert neurons.layer == ("2/3", "5", "4")
    assert _codes(found) == []


@pytest.mark.parametrize("location", ["mPFC", "VISp, VISl", "my favourite place", "AM"])
def test_an_unclear_location_is_asked_for(nwb, location):
    neurons, found = _read(nwb, {}, plane={"location": location})
    assert _codes(found) == ["unclear-region"]
    assert neurons.region == ("unknown" if location == "AM" else location,) * 3


def test_an_area_in_the_description_is_proposed(nwb):
    neurons, found = _read(nwb, {}, plane={"location": "unknown", "description": "Layer 5 of V1"})
    assert neurons.region == ("unknown",) * 3
    assert neurons.layer == ("5",) * 3
    assert _codes(found) == ["proposed-value"]
    assert "region: VISp" in found[0].remedy


def test_areas_of_other_animals_are_kept(nwb):
    del nwb["general/subject/species"]
    nwb["general/subject/species"] = "Macaca mulatta"
    neurons, found = _read(nwb, {}, plane={"location": "V4"})
    assert neurons.region == ("V4",) * 3
    assert _codes(found) == []


def test_facts_of_the_imaging_plane(nwb):
    plane = bare_nwb.add_plane(
        nwb,
        location="RSPd2/3",
        indicator="GCaMP6s",
        imaging_rate=30.0,
        excitation_lambda=920.0,
        grid_spacing=([1.2e-6, 1.3e-6], "meters"),
    )
    segmentation = bare_nwb.add_segmentation(nwb, {}, n_rows=1, plane=plane)
    found = []
    facts = imaging_facts(nwb, segmentation, found=found, name="a.nwb")
    assert (facts.region, facts.layer, facts.indicator) == ("RSPd", "2/3", "GCaMP6s")
    assert (facts.rate_hz, facts.excitation_nm) == (30.0, 920.0)
    assert facts.pixel_um == pytest.approx((1.2, 1.3))
    assert found == []


@pytest.mark.parametrize("spacing", [([1.2, 1.3], "meters"), ([1.2, 1.3], "pixels"), ([1e-9, 1e-9], "um")])
def test_a_pixel_of_a_metre_is_not_believed(nwb, spacing):
    plane = bare_nwb.add_plane(nwb, location="VISp", grid_spacing=spacing)
    segmentation = bare_nwb.add_segmentation(nwb, {}, n_rows=1, plane=plane)
    found = []
    assert imaging_facts(nwb, segmentation, found=found, name="a.nwb").pixel_um is None
    assert _codes(found) == ["unclear-value"]


@pytest.mark.parametrize("unknown", ["unknown", "", "N/A", "None"])
def test_words_that_state_nothing_are_nothing(nwb, unknown):
    plane = bare_nwb.add_plane(nwb, location=unknown, indicator=unknown, description=unknown)
    facts = imaging_facts(
        nwb, bare_nwb.add_segmentation(nwb, {}, n_rows=1, plane=plane), found=[], name="a.nwb"
    )
    assert (facts.region, facts.indicator, facts.description) == ("unknown", "", "")


def _shorten(table: h5py.Group) -> None:
    del table["accepted"]
    bare_nwb.add_column(table, "accepted", [1, 0])


def _make_ragged(table: h5py.Group) -> None:
    del table["cell_type"]
    bare_nwb.add_column(table, "cell_type", ["PV", "SST", "VIP", "PV"])
    table["cell_type_index"] = [1, 2, 4]


def _replace(name, **how):
    def edit(table):
        del table[name]
        table.create_dataset(name, **how)

    return edit


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (_shorten, "unusable-column"),
        (_make_ragged, "unusable-column"),
        (_replace("cell_type", data=np.array([b"PV", b"SS\xff", b"V"], dtype="S4")), "damaged-text"),
        (_replace("accepted", data=np.zeros((3, 4))), "unusable-column"),
        (_replace("accepted", data=np.zeros(3, dtype=[("a", "i4"), ("b", "f8")])), "unusable-column"),
        (_replace("accepted", shape=(3,), dtype=h5py.vlen_dtype(np.int32)), "unusable-column"),
        (_replace("accepted", shape=(3,), dtype=h5py.ref_dtype), "unusable-column"),
        (_replace("accepted", data=h5py.Empty("f8")), "unusable-column"),
        (_replace("cell_type", shape=(3,), dtype="S90000000"), "unusable-column"),
        (_replace("depth_um", data=np.array(5.0)), "unusable-column"),
    ],
)
def test_columns_that_cannot_be_used_are_findings(nwb, edit, code):
    columns = {"accepted": [1, 0, 1], "cell_type": ["PV", "SST", "VIP"], "depth_um": [1.0, 2.0, 3.0]}
    _, found = _read(nwb, columns, edit=edit)
    assert code in _codes(found)


def test_a_damaged_column_is_a_finding(tmp_path):
    path = Path(tmp_path / "a.nwb")
    with bare_nwb.bare_file(path) as nwb:
        segmentation = bare_nwb.add_segmentation(nwb, {}, n_rows=64, plane=bare_nwb.add_plane(nwb))
        column = segmentation.create_dataset("accepted", data=np.ones(64), chunks=(64,), compression="gzip")
        offset = column.id.get_chunk_info(0).byte_offset
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 12)
    with h5py.File(path) as nwb:
        found = []
        table = nwb["processing/ophys/ImageSegmentation/Cells"]
        assert roi_neurons(nwb, table, 64, found=found, name="a.nwb").accepted == (True,) * 64
    assert "cannot be read" in found[0].message


def test_findings_name_the_file_and_the_column(nwb):
    _, found = _read(nwb, {"accepted": [1, 2, 3]})
    assert str(found[0].place) == "a.nwb (/processing/ophys/ImageSegmentation/Cells/accepted)"
