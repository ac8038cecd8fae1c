"""What series are, by the names and words of the producers of NWB files."""

from __future__ import annotations

import pytest

from nwbswitch.analysis.reading.kinds import Role, Words, meaning_of, own_name

F, D, R = "Fluorescence", "DfOverF", "RoiResponseSeries"


@pytest.mark.parametrize(
    ("names", "types", "role", "subtracted"),
    [
        # neuroconv and our converter
        ((R, F), (R, F), Role.RAW, False),
        (("Neuropil", F), (R, F), Role.NEUROPIL, False),
        (("Deconvolved", F), (R, F), Role.DECONVOLVED, False),
        (("Denoised", F), (R, F), Role.DENOISED, False),
        (("Baseline", F), (R, F), Role.BASELINE, False),
        (("Background", F), (R, F), Role.NEUROPIL, False),
        (("DfOverF", F), (R, F), Role.DFF, False),
        ((R, D), (R, D), Role.DFF, False),
        (("NeuropilChan1Plane0", F), (R, F), Role.NEUROPIL, False),
        (("RoiResponseSeriesChan2Plane0", F), (R, F), Role.SECOND_CHANNEL, False),
        (("SecondChannelNeuropil", F), (R, F), Role.SECOND_CHANNEL, False),
        (("Demixed", F), (R, F), Role.DEMIXED, False),
        # AllenSDK: every series is called traces
        (("traces", "corrected_fluorescence"), (R, F), Role.RAW, True),
        (("traces", "neuropil_trace"), (R, F), Role.NEUROPIL, False),
        (("traces", "demixed_trace"), (R, F), Role.DEMIXED, False),
        (("traces", "dff"), (R, D), Role.DFF, False),
        (("event_detection", ""), ("OphysEventDetection", ""), Role.DECONVOLVED, False),
        # the Allen Institute's mesoscope
        (("ROI_fluorescence_timeseries", "raw_timeseries"), (R, F), Role.RAW, False),
        (("neuropil_fluorescence_timeseries", ""), (R, ""), Role.NEUROPIL, False),
        (("neuropil_corrected_timeseries", ""), (R, ""), Role.RAW, True),
        (("dff_timeseries", "dff_timeseries"), (R, D), Role.DFF, False),
        (("event_timeseries", ""), (R, ""), Role.DECONVOLVED, False),
        # exporters of Suite2p and CaImAn
        (("plane0", F), (R, F), Role.RAW, False),
        (("plane0", "Neuropil"), (R, F), Role.NEUROPIL, False),
        (("plane0", "Deconvolved"), (R, F), Role.DECONVOLVED, False),
        (("plane0", "Fluorescence_chan2"), (R, F), Role.SECOND_CHANNEL, False),
        (("Background_Fluorescence_Response", F), (R, F), Role.NEUROPIL, False),
        # labs
        (("Fc", F), (R, F), Role.RAW, True),
        (("F_corr", F), (R, F), Role.RAW, True),
        (("neuropil_subtracted_dFF", ""), (R, ""), Role.DFF, True),
        (("ΔF/F", ""), (R, ""), Role.DFF, False),
        (("dF_over_F", ""), (R, ""), Role.DFF, False),
        (("soma_F0_DMD1", F), (R, F), Role.BASELINE, False),
        (("inferred_spikes", F), (R, F), Role.DECONVOLVED, False),
        (("zscored", F), (R, F), Role.OTHER, False),
        (("motion_corrected_fluorescence", F), (R, F), Role.RAW, False),
        (("raw", D), (R, D), Role.DFF, False),
        (("anything", "what"), (R, "Mine"), Role.RAW, False),
    ],
)
def test_names_of_producers(names, types, role, subtracted):
    meaning = meaning_of(Words(names, types))
    assert (meaning.role, meaning.neuropil_subtracted) == (role, subtracted)


@pytest.mark.parametrize(
    ("unit", "prose", "role", "subtracted"),
    [
        ("n.a.", "Raw fluorescence of each ROI, without neuropil correction.", Role.RAW, False),
        ("lumens", "DF/F associated with each of the coordinates of the midline", Role.DFF, False),
        ("dF/F", "no description", Role.DFF, False),
        (
            "binary 0 or 1",
            "this is the spiking data outputted from MLspike as 0 or 1",
            Role.DECONVOLVED,
            False,
        ),
        ("a.u.", "Fluorescence, neuropil corrected with r = 0.7", Role.RAW, True),
        ("a.u.", "Fluorescence after subtraction; neuropil was subtracted", Role.RAW, True),
        ("a.u.", "Raw traces; neuropil was not subtracted", Role.RAW, False),
        ("a.u.", "Traces before any neuropil was removed", Role.RAW, False),
        ("a.u.", "Fluorescence of the neuropil around each ROI", Role.NEUROPIL, False),
        ("a.u.", "Raw fluorescence, from which dF/F was computed", Role.RAW, False),
        ("a.u.", "dF/F and deconvolved activity come from these", Role.RAW, False),
    ],
)
def test_units_and_prose_count_where_names_say_nothing(unit, prose, role, subtracted):
    meaning = meaning_of(Words(("RoiResponseSeries1", F), (R, F), unit, prose))
    assert (meaning.role, meaning.neuropil_subtracted) == (role, subtracted)


def test_a_name_counts_before_prose():
    words = Words(("Neuropil", F), (R, F), "", "dF/F of something")
    assert meaning_of(words).role is Role.NEUROPIL


def test_fluorescence_that_nothing_calls_raw_is_known_to_be_unsaid():
    assert not meaning_of(Words(("signal", F), (R, F))).is_stated
    assert meaning_of(Words(("signal_raw", F), (R, F))).is_stated
    assert meaning_of(Words(("signal", F), (R, F), "", "raw fluorescence")).is_stated


@pytest.mark.parametrize(
    ("path", "suffix", "name"),
    [
        ("/a/RoiResponseSeries_spikes", "_spikes", "RoiResponseSeries"),
        ("/a/NeuropilDeep", "Deep", "Neuropil"),
        ("/a/neuropildeep", "Deep", "neuropil"),
        ("/a/Deep", "Deep", "Deep"),
        ("/a/F", "", "F"),
    ],
)
def test_words_that_only_name_the_plane_mean_nothing(path, suffix, name):
    assert own_name(path, suffix) == name
