"""Our own rules for an NWB file of a drug-challenge session, each a small function that yields findings."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nwbswitch.converters.clocks.clock_rules import clocks_agree
from nwbswitch.converters.own_compounds import stored_compounds
from nwbswitch.converters.session import STUB
from nwbswitch.schemas.drug_checks import check_administration
from nwbswitch.schemas.drug_log import (
    DRUG_LOG_COLUMNS,
    EPOCHS_NAME,
    TABLE_NAME,
    Administration,
    administration_from_values,
    deciding_row,
)
from nwbswitch.schemas.epochs import Window
from nwbswitch.schemas.issues import Issue, Place, issue, nearest
from nwbswitch.schemas.substance import Substance
from nwbswitch.schemas.substances import own_compound

# A window may end this much after the last frame: half a second covers a frame at 2 Hz.
SLACK_S = 0.5
SEXES = ("M", "F", "O", "U")
_AGE = re.compile(r"P(?=.)(\d+(\.\d+)?Y)?(\d+(\.\d+)?M)?(\d+(\.\d+)?W)?(\d+(\.\d+)?D)?(T.+)?(/(P.+)?)?")
_SPECIES = re.compile(r"[A-Z][a-z]+ [a-z]+.*|http://purl\.obolibrary\.org/obo/NCBITaxon_\d+/?")
REQUIRED_COLUMNS = ("timestamp", "substance", "role", "control_kind")


@dataclass(frozen=True)
class Recording:
    """An opened NWB file as the rules see it."""

    nwbfile: Any

    @cached_property
    def log(self) -> Any:
        """The drug log table, or None."""
        return (self.nwbfile.events or {}).get(TABLE_NAME)

    @cached_property
    def values(self) -> list[dict[str, Any]]:
        """The rows of the drug log as stored, by column name."""
        if self.log is None or not set(REQUIRED_COLUMNS) <= set(self.log.colnames):
            return []
        frame = self.log.to_dataframe()
        return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]

    @cached_property
    def compounds(self) -> list[Substance]:
        """Compounds of the lab that the drug log defines."""
        return [] if self.log is None else stored_compounds(self.log)

    @cached_property
    def numbered_rows(self) -> list[tuple[int, Administration]]:
        """The rows of the drug log that can be read, each with its number in the table."""
        found = []
        for number, values in enumerate(self.values):
            try:
                row = administration_from_values(values)
                found.append((number, own_compound(row, self.compounds)))
            except ValueError:
                continue
        return found

    @cached_property
    def windows(self) -> list[tuple[str, float, float]]:
        """Name, start and stop (s) of every analysis window."""
        table = (self.nwbfile.intervals or {}).get(EPOCHS_NAME)
        if table is None or "window" not in table.colnames:
            return []
        columns = (table[name][:] for name in ("window", "start_time", "stop_time"))
        return [(str(name), float(start), float(stop)) for name, start, stop in zip(*columns, strict=True)]

    @cached_property
    def extent_s(self) -> tuple[float, float] | None:
        """First and last moment of the imaging, s on the session clock, or None without any."""
        spans = [_span(each) for each in self.nwbfile.objects.values() if type(each).__name__ in _IMAGING]
        known = [span for span in spans if span is not None]
        return (min(a for a, _ in known), max(b for _, b in known)) if known else None


_IMAGING = ("RoiResponseSeries", "TwoPhotonSeries", "OnePhotonSeries", "MicroscopySeries")


def _span(series: Any) -> tuple[float, float] | None:
    if series.data is None or not len(series.data):
        return None
    if series.rate:
        start = float(series.starting_time or 0.0)
        return start, start + len(series.data) / float(series.rate)
    times = series.timestamps
    return None if times is None or not len(times) else (float(times[0]), float(times[-1]))


def subject_is_complete(recording: Recording) -> Iterator[Issue]:
    """DANDI needs subject_id, species, sex, and age or date of birth."""
    subject = recording.nwbfile.subject
    if subject is None:
        yield _dandi("subject", "The file has no subject.")
        return
    if not subject.subject_id or "/" in subject.subject_id:
        yield _dandi("subject_id", f"subject_id is {subject.subject_id!r}, expected a name without a slash.")
    if not subject.species or not _SPECIES.fullmatch(subject.species):
        yield _dandi("species", f"species is {subject.species!r}, expected e.g. 'Mus musculus'.")
    if subject.sex not in SEXES:
        yield _dandi("sex", f"sex is {subject.sex!r}, expected one of {', '.join(SEXES)}.")
    if subject.date_of_birth is None and not (subject.age and _AGE.fullmatch(subject.age)):
        yield _dandi("age", f"age is {subject.age!r}, expected ISO 8601 such as 'P90D', or a date of birth.")


def session_has_an_id(recording: Recording) -> Iterator[Issue]:
    """DANDI names files by session_id."""
    if not recording.nwbfile.session_id:
        yield _dandi("session_id", "The file has no session_id.", place="/session_id")


def _dandi(item: str, message: str, *, place: str = "") -> Issue:
    where = Place(item=place or f"/general/subject/{item}")
    return issue(
        "dandi-metadata", message, place=where, remedy="Give it in the study file and convert again."
    )


def drug_log_is_there(recording: Recording) -> Iterator[Issue]:
    """A drug-challenge session states what was given, controls included."""
    if recording.log is None:
        yield issue(
            "no-drug-log",
            "The file has no drug log.",
            place=Place(item=f"/events/{TABLE_NAME}"),
            remedy="Name one in study.yaml (drug_log) and convert again, or add it by nwbswitch annotate.",
        )


def drug_log_has_its_columns(recording: Recording) -> Iterator[Issue]:
    """The columns without which a row says nothing."""
    if recording.log is None:
        return
    for name in REQUIRED_COLUMNS:
        if name not in recording.log.colnames:
            yield issue(
                "missing-column",
                f"The drug log has no column {name!r}.",
                place=_log_place(),
                remedy=nearest(name, recording.log.colnames),
            )


def missing_values_have_reasons(recording: Recording) -> Iterator[Issue]:
    """A missing value says why it is missing; a missing dose itself is judged with its row."""
    for number, values in enumerate(recording.values):
        for name in ("dose_unit", "dose_basis", "route", "time_uncertainty_s"):
            value = values.get(name, "")
            missing = value == "" or (isinstance(value, float) and math.isnan(value))
            if missing and not values.get(f"{name}_missing_reason"):
                problem = f"{name} is missing without a reason."
                remedy = f"Give it, or a reason in {name}_missing_reason."
                yield issue("dose-missing", problem, place=_log_place(number), remedy=remedy)


def administrations_make_sense(recording: Recording) -> Iterator[Issue]:
    """Every row can be read, its words are in the vocabularies, and its dose is plausible."""
    for number, values in enumerate(recording.values):
        try:
            row = administration_from_values(values)
        except ValueError as error:
            problem = f"The row cannot be read: {' '.join(str(error).split())}"
            yield issue("wrong-value", problem, place=_log_place(number))
            continue
        yield from check_administration(own_compound(row, recording.compounds), _log_place(number))


def derived_doses_fit(recording: Recording) -> Iterator[Issue]:
    """Derived doses and identifiers are those that follow from the row."""
    from nwbswitch.schemas.drug_table import stored_values

    derived = [column.name for column in DRUG_LOG_COLUMNS if not column.field]
    for number, row in recording.numbered_rows:
        values, expected = recording.values[number], stored_values(row)
        for name in derived:
            if name in values and not _equal(values[name], expected[name]):
                problem = f"{name} is {values[name]!r}, the row gives {expected[name]!r}."
                yield issue("wrong-value", problem, place=_log_place(number), remedy="Convert again.")


def _equal(stored: Any, expected: Any) -> bool:
    if isinstance(expected, float):
        both_missing = math.isnan(expected) and math.isnan(float(stored))
        return both_missing or math.isclose(float(stored), expected, rel_tol=1e-6)
    return str(stored) == str(expected)


def pharmacology_agrees(recording: Recording) -> Iterator[Issue]:
    """The readable text names every substance and every stated dose of the drug log."""
    text = recording.nwbfile.pharmacology or ""
    for number, row in recording.numbered_rows:
        patterns = {row.substance: rf"(?<!\w){re.escape(row.substance)}(?!\w)"}
        if row.dose is not None:
            dose = f"{row.dose:g}"
            patterns[dose] = rf"(?<![\d.]){re.escape(dose)}(?!\.?\d)"
        absent = [word for word, pattern in patterns.items() if not re.search(pattern, text, re.IGNORECASE)]
        if absent:
            yield issue(
                "pharmacology-differs",
                f"pharmacology does not mention {' and '.join(map(repr, absent))} of the drug log.",
                place=Place(item=f"/general/pharmacology, row {number}"),
                remedy="Correct whichever of the two is wrong.",
            )


def windows_are_known(recording: Recording) -> Iterator[Issue]:
    """Every analysis window has a name that the analysis knows."""
    for name, _, _ in recording.windows:
        if name not in tuple(Window):
            remedy = nearest(name, Window) or f"Expected one of {', '.join(Window)}."
            yield issue("unknown-word", f"{name!r} is no window.", place=_window_place(name), remedy=remedy)


def windows_are_inside_the_recording(recording: Recording) -> Iterator[Issue]:
    """No analysis window reaches beyond the imaging; a file cut by --stub is exempt."""
    if recording.extent_s is None or STUB in tuple(recording.nwbfile.keywords or ()):
        return
    for name, start, stop in recording.windows:
        yield from beyond_recording(name, (start, stop), recording.extent_s, _window_place(name))


def beyond_recording(
    name: str, window_s: tuple[float, float], extent_s: tuple[float, float], place: Place
) -> Iterator[Issue]:
    """Yield a finding when a window (start, stop) reaches beyond the recording (start, end), all in s."""
    (start, stop), (first, last) = window_s, extent_s
    if start < first - SLACK_S or stop > last + SLACK_S:
        yield issue(
            "epoch-outside-recording",
            f"{name} [{start:g}, {stop:g}] s reaches beyond the recording [{first:g}, {last:g}] s.",
            place=place,
            remedy="Correct the window, the clock offset or the frame rate.",
        )


def baseline_comes_before_the_drug(recording: Recording) -> Iterator[Issue]:
    """Baseline and pseudo windows end before the deciding administration, the drug window follows it."""
    decider = deciding_row([row for _, row in recording.numbered_rows])
    if decider is None:
        return
    zero = decider.timestamp_s
    before = (Window.BASELINE, Window.PSEUDO_BASELINE, Window.PSEUDO_DRUG)
    for name, start, stop in recording.windows:
        wrong = (name in before and stop > zero) or (name == Window.DRUG and start < zero)
        if wrong:
            yield issue(
                "epoch-order",
                f"{name} [{start:g}, {stop:g}] s is on the wrong side of {decider.substance} at {zero:g} s.",
                place=_window_place(name),
                remedy="Correct the window or the time of the administration.",
            )


def baseline_and_drug_are_apart(recording: Recording) -> Iterator[Issue]:
    """Windows that are compared with each other do not overlap."""
    for one, other in ((Window.BASELINE, Window.DRUG), (Window.PSEUDO_BASELINE, Window.PSEUDO_DRUG)):
        firsts, seconds = (
            [(start, stop) for name, start, stop in recording.windows if name == each]
            for each in (one, other)
        )
        if any(max(a, c) < min(b, d) for a, b in firsts for c, d in seconds):
            yield issue("epochs-overlap", f"{one} and {other} overlap.", place=_window_place(other))


def drugs_were_given_while_recording(recording: Recording) -> Iterator[Issue]:
    """An administration after the last frame cannot have had an effect in the file."""
    if recording.extent_s is None or STUB in tuple(recording.nwbfile.keywords or ()):
        return
    for number, row in recording.numbered_rows:
        if row.timestamp_s > recording.extent_s[1]:
            problem = f"{row.substance} at {row.timestamp_s:g} s comes after the recording."
            yield issue("drug-outside-session", problem, place=_log_place(number))


def _log_place(row: int | None = None) -> Place:
    return Place(item=f"/events/{TABLE_NAME}" + ("" if row is None else f", row {row}"))


def _window_place(name: str) -> Place:
    return Place(item=f"/intervals/{EPOCHS_NAME}, {name}")


RULES: tuple[Callable[[Recording], Iterator[Issue]], ...] = (
    subject_is_complete,
    session_has_an_id,
    drug_log_is_there,
    drug_log_has_its_columns,
    missing_values_have_reasons,
    administrations_make_sense,
    derived_doses_fit,
    pharmacology_agrees,
    windows_are_known,
    windows_are_inside_the_recording,
    baseline_comes_before_the_drug,
    baseline_and_drug_are_apart,
    drugs_were_given_while_recording,
    clocks_agree,
)


def broken_rules(nwbfile: Any) -> list[Issue]:
    """Return what every rule finds in an opened file."""
    recording = Recording(nwbfile)
    return [found for rule in RULES for found in rule(recording)]
