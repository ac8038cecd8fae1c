"""From an open NWB file to its outline, step by step, whoever wrote it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from nwbswitch.analysis.clock_tables import readable_clocks
from nwbswitch.analysis.reading.drug_log_table import read_drug_log
from nwbswitch.analysis.reading.drug_places import drug_statements
from nwbswitch.analysis.reading.outline import Outline, Plane, Points, SubjectFacts, WindowSpan
from nwbswitch.analysis.reading.planes import FoundPlanes, read_planes
from nwbswitch.analysis.reading.points import find_points
from nwbswitch.analysis.reading.session_words import read_anaesthesia, read_batch
from nwbswitch.analysis.reading.stated_neurons import restated
from nwbswitch.analysis.reading.stored_values import dataset_at, fits, text_of
from nwbswitch.analysis.reading.subjects import read_subject
from nwbswitch.analysis.reading.windows import check_overlap, read_windows
from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.drug_reading.evidence import Confidence, DrugReading, Evidence
from nwbswitch.schemas.drug_reading.reading import read_drugs
from nwbswitch.schemas.errors import InputFileError, IssuesError
from nwbswitch.schemas.issues import Issue, Place, has_errors, issue
from nwbswitch.schemas.nwb_text import COMPANION_PREFIX, DATASET_PREFIX, SIMULATED, texts
from nwbswitch.schemas.overrides import FILL_IN, Override, proposal

if TYPE_CHECKING:
    import h5py

STATED = "overrides"
"""Place of values that the overrides state."""
MAX_KEYWORDS = 10_000
_UNREADABLE = (
    KeyError,
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    ArithmeticError,
)
_IN_ARCHIVE = re.compile(r"([A-Za-z][A-Za-z0-9-]*):(\d{6})(?:@[^/]*)?/")
_BY_ID = re.compile(r"[A-Za-z][A-Za-z0-9-]*:assets/")


def outline_of(nwb: h5py.File, *, name: str, override: Override | None = None) -> Outline:
    """Return the outline of a recording: all that measuring and searching need of it but its samples.

    What the file lacks is a finding in it. A finding of error severity says why the recording cannot be
    measured, and where the overrides can settle that, with which lines.

    Parameters
    ----------
    nwb
        An open file that the guard has looked at.
    name
        The source's name: what messages call it; names of animals, sessions and data sets are taken from
        it where the file does not state them.
    override
        What is stated of the recording.

    Raises
    ------
    InputFileError
        When it is not NWB 2, or cannot be read.
    """
    override = override or Override()
    try:
        _require_nwb2(nwb, name)
        outline = _outline(nwb, name, override)
    except _UNREADABLE as error:
        raise InputFileError(name, f"cannot be read as NWB: {str(error)[:300]}.") from error
    return replace(outline, issues=_plain_issues(outline.issues, name))


def _outline(nwb: h5py.File, name: str, override: Override) -> Outline:
    found: list[Issue] = []
    keywords = _keywords(nwb)
    subject = _subject(nwb, name, override, found)
    start_time = _start_time(nwb, name, override, found)
    drugs = _drugs(nwb, name, override, start_time)
    found += drugs.issues
    activity: list[Issue] = []
    traced = read_planes(nwb, name=name, override=override, found=activity)
    points = find_points(
        nwb,
        name=name,
        found=activity,
        accepted=override.points,
        unit_s=override.points_unit_s,
        accepted_rois=override.accepted,
    )
    points = tuple(replace(each, neurons=restated(each.neurons, override)) for each in points)
    nothing = _nothing_measured(traced, points, keywords, name, activity)
    # Who was given what matters only where there is something to measure.
    found = [*activity, *nothing] if nothing else [*found, *activity]
    windows: tuple[WindowSpan, ...] = ()
    if traced.planes or points:
        windows = read_windows(
            nwb,
            name=name,
            override=override,
            administrations=drugs.administrations,
            extent_s=_extent_s(traced.planes, points),
            found=found,
        )
        check_overlap(windows, traced.planes, name=name, found=found)
    clocks = readable_clocks(nwb, name, found)
    return Outline(
        dataset=override.dataset or _dataset(keywords, name, found),
        subject=subject,
        session_id=override.session_id or _session_id(nwb, name),
        start_time=start_time,
        simulated=SIMULATED in keywords or SIMULATED in text_of(dataset_at(nwb, "session_description")),
        administrations=drugs.administrations,
        evidence=drugs.evidence,
        mentions=drugs.mentions,
        windows=windows,
        planes=traced.planes,
        points=points,
        issues=tuple(found),
        clocks=clocks,
        batch=read_batch(nwb),
        anaesthesia=read_anaesthesia(nwb, drugs.administrations),
    )


def _require_nwb2(nwb: h5py.File, name: str) -> None:
    """Refuse what is not NWB 2, saying what it is."""
    version = text_of(nwb.attrs.get("nwb_version")) or text_of(dataset_at(nwb, "nwb_version"))
    if version.startswith("2"):
        return
    if version:
        problem = f"states the version {version[:40]!r} and is not NWB 2."
        raise InputFileError(name, problem, "Older NWB must be converted first.")
    raise InputFileError(name, "is HDF5 but not NWB 2: it states no version of NWB.")


def _keywords(nwb: h5py.File) -> tuple[str, ...]:
    stored = dataset_at(nwb, "general/keywords")
    return texts(stored) if stored is not None and stored.size <= MAX_KEYWORDS and fits(stored) else ()


def _subject(nwb: h5py.File, name: str, override: Override, found: list[Issue]) -> SubjectFacts:
    findings: list[Issue] = []
    subject = read_subject(nwb, name=name, found=findings)
    if override.subject_id is None:
        found += findings
        return subject
    found += [each for each in findings if not each.place.item.endswith("/subject_id")]
    return replace(subject, subject_id=override.subject_id)


def _start_time(nwb: h5py.File, name: str, override: Override, found: list[Issue]) -> datetime:
    """Return the start of the session; one without an offset is taken as UTC, since only order matters."""
    said = override.start_time or text_of(dataset_at(nwb, "session_start_time"))
    try:
        start = datetime.fromisoformat(said)
    except ValueError:
        problem = f"The start of the session is {said[:60]!r}, which is no ISO 8601 time."
        place = Place(name, item="/session_start_time")
        remedy = proposal(name, {"start_time": FILL_IN})
        found.append(issue("wrong-value", problem, place=place, remedy=remedy))
        return datetime(1970, 1, 1, tzinfo=UTC)
    return start if start.tzinfo else start.replace(tzinfo=UTC)


def _drugs(nwb: h5py.File, name: str, override: Override, start_time: datetime) -> DrugReading:
    """Return what was given: as stated, else as our drug log has it, else as read from anywhere."""
    rows = override.stated_administrations()
    if rows is not None:
        nothing = [] if override.control is not None else _no_drugs(rows, name)
        return DrugReading(rows, _stated_evidence(rows), tuple(nothing))
    try:
        read = read_drug_log(nwb, name)
    except IssuesError as error:
        return DrugReading((), (), error.issues)
    if read is None:
        statements = drug_statements(nwb, name=name)
        read = read_drugs(statements, name=name, session_start=start_time, codes=override.drug_codes)
    return read if read.issues else replace(read, issues=tuple(_no_drugs(read.administrations, name)))


def _no_drugs(rows: tuple[Administration, ...], name: str) -> list[Issue]:
    if rows:
        return []
    problem = "Nothing says what was given; the arm is empty."
    row = {"timestamp_s": FILL_IN, "substance": FILL_IN}
    remedy = "If nothing was given, state control: {kind: none}. " + proposal(
        name, {"administrations": [row]}
    )
    return [issue("no-drug-log", problem, place=Place(name), remedy=remedy)]


def _stated_evidence(rows: tuple[Administration, ...]) -> tuple[Evidence, ...]:
    found = []
    for number, row in enumerate(rows):
        said = row.model_dump(mode="json", exclude_unset=True, exclude={"missing", "compound"})
        for field, value in said.items():
            if value not in (None, ""):
                quote = f"{field}: {value}"
                found.append(Evidence(number, field, str(value), STATED, quote, Confidence.STATED))
    return tuple(found)


def _nothing_measured(
    traced: FoundPlanes,
    points: tuple[Points, ...],
    keywords: tuple[str, ...],
    name: str,
    activity: list[Issue],
) -> list[Issue]:
    """Return why a file without anything to measure is so, where no other finding says it already."""
    if traced.planes or points or has_errors(activity):
        return []
    if traced.unused:
        problem = f"Of traces the file holds only {', '.join(traced.unused)}, which are not measured unasked."
        remedy = "Events are told from noise: give the traces from before denoising and deconvolution, or "
        remedy += "ask for a kind. " + proposal(name, {"activity": [{"kind": "denoised"}]})
        return [issue("no-activity", problem, place=Place(name), remedy=remedy)]
    if any(word.startswith(COMPANION_PREFIX) for word in keywords):
        problem = "The file holds raw movies only; its companion holds what is measured."
        return [issue("raw-file", problem, place=Place(name))]
    unused = [each for each in activity if each.place.item.endswith("/spike_times")]
    if unused:
        problem = f"The file holds no activity but {unused[0].place.item}, which cannot be used as it is."
        code = "suspect-clock" if any("points_unit_s" in each.remedy for each in unused) else "no-activity"
        return [issue(code, problem, place=Place(name))]
    problem = "The file holds no fluorescence traces (a RoiResponseSeries of ROIs), no units and no events."
    return [issue("no-activity", problem, place=Place(name))]


def _extent_s(planes: tuple[Plane, ...], points: tuple[Points, ...]) -> tuple[float, float] | None:
    """Return when the recording begins and ends, s on the session clock; None where nothing says it."""
    starts = [plane.clock.start_s for plane in planes]
    stops = [plane.clock.stop_s for plane in planes]
    for each in points:
        starts += each.observed_start_s
        stops += each.observed_stop_s
    return (round(min(starts), 3), round(max(stops), 3)) if starts and stops else None


def _dataset(keywords: tuple[str, ...], name: str, found: list[Issue]) -> str:
    """Return the data set by the keyword, else the dandiset, else the folder above that of the animal."""
    stated = [word.removeprefix(DATASET_PREFIX) for word in keywords if word.startswith(DATASET_PREFIX)]
    if stated and stated[0]:
        return stated[0]
    archived = _IN_ARCHIVE.match(name)
    if archived:
        return f"{archived[1]}:{archived[2]}"
    folders = [part for part in _folders(name) if part and not part.startswith("sub-")]
    if "://" in name or _BY_ID.match(name):
        problem = "Nothing says which data set it belongs to; it is called after its address."
        remedy = "If others belong to it, state dataset for all of them in a file of overrides."
        found.append(issue("proposed-value", problem, place=Place(name), remedy=remedy))
    return folders[-1] if folders else ""


def _folders(name: str) -> tuple[str, ...]:
    """Return the folders that a file is in."""
    if "://" in name:
        address = urlsplit(name)
        return (address.netloc, *PurePosixPath(unquote(address.path)).parts[1:-1])
    return Path(name).resolve().parent.parts[1:]


def _session_id(nwb: h5py.File, name: str) -> str:
    stated = text_of(dataset_at(nwb, "general/session_id"))
    stem = PurePosixPath(name.replace("\\", "/")).name.removesuffix(".nwb")
    named = [part.removeprefix("ses-") for part in stem.split("_") if part.startswith("ses-")]
    return stated or (named[0] if named else stem)


def _plain_issues(found: tuple[Issue, ...], name: str) -> tuple[Issue, ...]:
    """Return the findings once each, all with the source's name as their file."""
    placed = (replace(each, place=replace(each.place, file=name)) for each in found)
    return tuple(dict.fromkeys(placed))
