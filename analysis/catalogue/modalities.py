"""Which kinds of recordings a file holds, from its neurodata types, its name and what the archive says."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache


class Modality(StrEnum):
    """A kind of recording, as names of files in DANDI have it."""

    OPHYS = "ophys"
    ECEPHYS = "ecephys"
    BEHAVIOR = "behavior"


NEURODATA_TYPES: dict[str, Modality] = {
    **dict.fromkeys(
        (
            "DfOverF", "Fluorescence", "ImageSegmentation", "ImagingPlane", "MotionCorrection",
            "OnePhotonSeries", "OpticalChannel", "PlaneSegmentation", "RoiResponseSeries", "TwoPhotonSeries",
        ),
        Modality.OPHYS,
    ),
    **dict.fromkeys(
        (
            "ClusterWaveforms", "Clustering", "ElectricalSeries", "ElectrodeGroup", "EventDetection",
            "EventWaveform", "FeatureExtraction", "FilteredEphys", "LFP", "SpikeEventSeries", "Units",
        ),
        Modality.ECEPHYS,
    ),
    **dict.fromkeys(
        (
            "BehavioralEpochs", "BehavioralEvents", "BehavioralTimeSeries", "CompassDirection", "EyeTracking",
            "Position", "PupilTracking", "SpatialSeries",
        ),
        Modality.BEHAVIOR,
    ),
}  # fmt: skip
"""Type in an NWB file to the kind of recording it belongs to."""

APPROACHES: dict[str, Modality] = {
    "microscopy approach; cell population imaging": Modality.OPHYS,
    "electrophysiological approach": Modality.ECEPHYS,
    "behavioral approach": Modality.BEHAVIOR,
}
"""Approach in DANDI's metadata to the kind of recording."""


def stated_modalities(
    *, path: str = "", approaches: Iterable[str] = (), variables: Iterable[str] = ()
) -> frozenset[Modality]:
    """Return what is known of the kinds of recording; empty when nothing is.

    Parameters
    ----------
    path
        Of the file, named as DANDI names it: ``sub-m1_ses-2_behavior+ophys.nwb``.
    approaches, variables
        Of its metadata; variables are neurodata types.
    """
    found = {NEURODATA_TYPES[each] for each in variables if each in NEURODATA_TYPES}
    found |= {APPROACHES[each] for each in approaches if each in APPROACHES}
    stem = path.rpartition("/")[2].partition(".")[0]
    last = stem.rpartition("_")[2] if "_" in stem else ""
    found |= {each for each in Modality if each in last.split("+")}
    return frozenset(found)


def to_words(modalities: Iterable[Modality]) -> str:
    """Return modalities as words separated by spaces, in a steady order."""
    held = frozenset(modalities)
    return " ".join(each.value for each in Modality if each in held)


@lru_cache(maxsize=256)
def from_words(words: str) -> frozenset[Modality]:
    """Return the modalities that `to_words` wrote."""
    return frozenset(Modality(each) for each in words.split())
