"""Findings as values, and the catalogue of all codes a user can meet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any


class Severity(StrEnum):
    """How much an issue matters; only errors change the exit status."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is: a file or address, a line (1-based) and an item inside (``sessions[3].dose``)."""

    file: str | Path | None = None
    line: int | None = None
    item: str = ""

    def __str__(self) -> str:
        where = str(self.file) if self.file else ""
        if self.line is not None:
            where += f":{self.line}" if where else f"line {self.line}"
        if self.item:
            where += f" ({self.item})" if where else self.item
        return where


@dataclass(frozen=True, slots=True)
class Issue:
    """One finding: what is wrong, where, and what to do about it.

    Build it with `issue`, which looks the severity up in `CATALOGUE`.
    """

    code: str
    severity: Severity
    message: str
    place: Place = Place()
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.place}: " if str(self.place) else ""
        said, _, lines = self.remedy.partition("\n")
        remedy = f" {said}" if said else ""
        text = f"{self.severity}: {place}{self.message}{remedy} [{self.code}]"
        # Lines to be copied stand alone.
        return f"{text}\n{lines}" if lines else text

    def as_dict(self) -> dict[str, Any]:
        """Return the finding as plain JSON values."""
        return {
            "code": self.code,
            "severity": self.severity.value,
            "message": self.message,
            "file": str(self.place.file) if self.place.file else None,
            "line": self.place.line,
            "item": self.place.item,
            "remedy": self.remedy,
        }


@dataclass(frozen=True, slots=True)
class Kind:
    """An entry of the catalogue: the severity and the meaning of a code."""

    severity: Severity
    meaning: str


_E, _W, _N = Severity.ERROR, Severity.WARNING, Severity.NOTE

CATALOGUE: dict[str, Kind] = {
    # reading a study
    "yaml-syntax": Kind(_E, "The file is not valid YAML."),
    "unknown-key": Kind(_E, "A key that the study format does not have."),
    "missing-value": Kind(_E, "A value that must be given is not there."),
    "wrong-value": Kind(_E, "A value of the wrong type, range or form."),
    "unknown-word": Kind(_E, "A word that is not in the vocabulary."),
    "unknown-region": Kind(
        _W, "A brain region that is not in the vocabulary, which holds those of the mouse, of another animal."
    ),
    "unknown-subject": Kind(_E, "A session names a subject that the study does not list."),
    "duplicate-id": Kind(_E, "An identifier is used twice."),
    "missing-file": Kind(_E, "A file or folder that the study names is not there."),
    "unsafe-path": Kind(_E, "A path that leaves the study folder by .. or a link."),
    "ambiguous-file": Kind(_E, "A pattern matches several files where one is needed."),
    "unreadable-file": Kind(_E, "A file that is damaged or in another format than stated."),
    "unsafe-file": Kind(_E, "A file that could run code, reach other files or exhaust memory."),
    # tables
    "missing-column": Kind(_E, "A table lacks a column it must have."),
    "unknown-column": Kind(_W, "A table has a column that is not used."),
    "bad-cell": Kind(_E, "A table cell that cannot be read as the column's type."),
    # drugs
    "unknown-drug": Kind(_E, "A substance that the vocabulary does not hold."),
    "bad-unit": Kind(_E, "A unit that is not UCUM or has the wrong dimension."),
    "no-drug-log": Kind(_W, "A session without any drug administration."),
    "dose-missing": Kind(_W, "An administration without a dose and without a reason."),
    "dose-implausible": Kind(_W, "A dose far outside what is used for this substance."),
    "infusion-target-missing": Kind(_W, "A local infusion that does not say where it went."),
    "infusion-differs": Kind(_W, "Rate and duration of an infusion do not give its volume."),
    "drug-outside-session": Kind(_W, "An administration after the end of the recording."),
    "pharmacology-differs": Kind(_E, "The pharmacology text does not match the drug log."),
    "pharmacology-unlike-log": Kind(
        _W, "The pharmacology text of a file that is read does not match its drug log, which counts."
    ),
    "drug-unresolved": Kind(_W, "Something was or may have been given, and the file does not say what."),
    "drug-incomplete": Kind(_W, "A drug that a file names without its time or its dose."),
    "drug-contradiction": Kind(_W, "Places of a file contradict each other about a drug; none is taken."),
    # epochs and recordings
    "epoch-outside-recording": Kind(_E, "An analysis window reaches beyond the recording."),
    "epochs-overlap": Kind(_E, "Two analysis windows that must be apart overlap."),
    "rate-differs": Kind(_E, "Two sources state different frame rates for one recording."),
    "epoch-order": Kind(
        _E, "The baseline does not end before the administration and the drug window after it."
    ),
    "length-differs": Kind(_E, "Two streams that must be equally long are not."),
    "pulses-differ": Kind(_E, "Pulses of two systems, or frames and their pulses, that do not fit."),
    "clock-table": Kind(_W, "A table of clocks that cannot be read."),
    "clock-drift": Kind(_W, "A clock that drifts more than clocks of recording hardware do."),
    "clock-jitter": Kind(_W, "A clock that is known less well than half a frame."),
    "frames-dropped": Kind(_W, "More frames without a pulse of their own than a recording should have."),
    "pulses-unmatched": Kind(_W, "More pulses without a partner on the other clock than chance leaves."),
    "placeholder": Kind(_W, "A value that the source does not state was filled with a marked placeholder."),
    "session-failed": Kind(_E, "A recording session that could not be converted, with the reason."),
    "no-space": Kind(_E, "The files to be written clearly exceed the free space of the disk."),
    # sources
    "source-form": Kind(_E, "A source that is written in none of the known ways, or is not a safe address."),
    "no-source": Kind(_E, "A source that names no NWB file, or none that is there."),
    "unknown-archive": Kind(_E, "An archive that dandi does not know by this name."),
    "zarr-source": Kind(_E, "A recording stored as Zarr; only NWB files of HDF5 are read."),
    "archive-silent": Kind(_E, "An archive that does not answer; what is known of it is older."),
    "archive-unread": Kind(_W, "Something of an archive that could not be had, with the reason."),
    # checking NWB
    "nwb-invalid": Kind(_E, "pynwb finds that the file breaks the NWB schema."),
    "inspector-critical": Kind(_E, "nwbinspector finds something that must be mended before upload."),
    "inspector-advice": Kind(_W, "nwbinspector recommends a change."),
    "inspector-suggestion": Kind(_N, "nwbinspector suggests an improvement that is a matter of choice."),
    "inspector-allowed": Kind(_N, "An nwbinspector finding that is a known false alarm here."),
    "schema-version-kept": Kind(
        _W, "An annotated file states the NWB schema version that it had, which is older than its drug log."
    ),
    "dandi-metadata": Kind(_E, "A field that DANDI needs is missing or malformed."),
    # measuring and estimating
    "raw-file": Kind(_N, "A file of raw movies: what is measured is in the file beside it."),
    "no-activity": Kind(_E, "The file holds no fluorescence traces."),
    "no-epochs": Kind(_E, "The file holds no analysis windows."),
    "ambiguous-activity": Kind(_E, "Several series could be the activity, and nothing tells them apart."),
    "activity-in-parts": Kind(_W, "Traces of the same ROIs in several series, one after the other in time."),
    "activity-left-out": Kind(_N, "Traces that are not measured, with the reason."),
    "roi-region": Kind(_W, "A series names its ROIs in a way that does not fit its traces; read as meant."),
    "planes-share-image": Kind(
        _W, "Two segmentations of one imaging plane; a cell that is in both counts twice."
    ),
    "suspect-clock": Kind(
        _E, "Times of frames or spikes that are hardly seconds since the start of the session."
    ),
    "imaging-rate-differs": Kind(_W, "Frames come at another rate than the imaging plane states."),
    "stamps-in-unit": Kind(_N, "Time stamps that state another unit than seconds; converted."),
    "uneven-frames": Kind(_N, "Frames that come at uneven times; their own times are used."),
    "override-unmatched": Kind(_W, "An entry of the overrides that matches no source."),
    "override-unused": Kind(_E, "An override that names what the file does not hold."),
    "square-traces": Kind(_N, "A matrix of traces with as many frames as ROIs, taken in NWB's order."),
    "not-stated": Kind(_N, "Something that a file does not state and that stays unknown."),
    "proposed-value": Kind(_N, "What a file hints at without stating it, to be confirmed by an override."),
    "unclear-value": Kind(_W, "A value with several readings, or none; an override settles it."),
    "unclear-region": Kind(_W, "Words for a brain area that are not one structure of the Allen CCF."),
    "name-differs": Kind(_W, "A file and its name say different things; the file is believed."),
    "damaged-text": Kind(_W, "Text in a file that is not UTF-8."),
    "unusable-column": Kind(_W, "A column of a table in a file that is not used, with the reason."),
    "unusable-points": Kind(_W, "Spikes or events in a file that are not used, with the reason."),
    "suspect-times": Kind(_W, "Times of spikes or events that are not as NWB wants them."),
    "traces-transposed": Kind(_W, "Traces stored ROIs first instead of frames first; read as meant."),
    "neuron-left-out": Kind(_W, "Neurons without a usable baseline were not measured."),
    "session-left-out": Kind(_W, "A recording session that could not be used, with the reason."),
    "false-events": Kind(_W, "Negative transients show that many events may be noise."),
    "frames-censored": Kind(_W, "Motion, artefacts or missing values spoil many frames of a window."),
    "censoring-differs": Kind(_W, "A window lost many more frames than the one it is compared with."),
    "movement-unknown": Kind(_E, "A file holds no speed of the animal, by which frames were to be chosen."),
    "motion-unknown": Kind(_W, "Shifts of motion correction in pixels whose size the file does not state."),
    "neuropil-subtracted": Kind(_N, "The neuropil is subtracted from the traces already."),
    "neuropil-unfitted": Kind(_W, "Neurons for which no neuropil coefficient could be fitted."),
    "events-doubtful": Kind(_W, "Events of traces that were denoised or deconvolved elsewhere."),
    # designs
    "design-order": Kind(_W, "Arms whose order in time cannot be told from what they do."),
    "design-washout": Kind(
        _W, "Sessions of one animal that follow each other sooner than stated, or in a day."
    ),
    "design-balance": Kind(_W, "Arms that differ in sex, age, batch or time of day besides what was given."),
    "design-control": Kind(_W, "A control that differs from the drug in route or volume, or none at all."),
    "design-doses": Kind(_W, "Several doses in one session that cannot be told apart as they should."),
    "design-gap": Kind(_W, "Something the design rests on that no file states, or an arm without animals."),
}


def issue(code: str, message: str, *, place: Place | None = None, remedy: str = "") -> Issue:
    """Return the finding ``code`` with the severity that the catalogue gives it."""
    return Issue(code, CATALOGUE[code].severity, message, place or Place(), remedy)


def has_errors(issues: Iterable[Issue]) -> bool:
    """Return whether any finding is of error severity."""
    return any(each.severity is Severity.ERROR for each in issues)


def nearest(word: str, words: Iterable[str], *, cutoff: float = 0.6) -> str:
    """Return a hint naming the valid word most like ``word``, or an empty string.

    ``cutoff`` is the least similarity, 1 for the same word in another case.
    """
    by_fold = {each.casefold(): str(each) for each in words}
    close = get_close_matches(word.casefold(), list(by_fold), n=1, cutoff=cutoff)
    return f"Did you mean {by_fold[close[0]]!r}?" if close else ""
