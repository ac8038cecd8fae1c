"""Whether the switch can be estimated from recordings, and if not, why: in plain words, with codes.

A recording needs neurons before and after an administration whose time is known, on one clock, for long
enough; an arm needs animals and something to compare with. What is asked for here is what `switch` needs
to give numbers at all, see `nwbswitch.analysis.verdicts.verdict` and the sampling errors in the
documentation.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nwbswitch.analysis.catalogue.facts import Activity, Given, RecordingFacts
from nwbswitch.analysis.verdicts.verdict import MIN_ANIMALS
from nwbswitch.schemas.drug_log import ACUTE_S, Role
from nwbswitch.schemas.epochs import Window

MIN_WINDOW_S = 120.0
"""Two interleaved halves of two blocks of 30 s; 25 cells in 2 minutes leave a sampling SD of SW of 0.67."""
GOOD_WINDOW_S = 600.0
"""With 60 cells in 10 minutes the sampling SD of SW is 0.20 per animal."""
GAP_S = 60.0
"""Left out on both sides of an administration where there is time for it: the animal is handled."""
MIN_NEURONS = 25

REASONS: dict[str, str] = {
    "not-read": "the file was not read yet",
    "drug-not-in-file": "the archive's text about the file names the drug, the file says nothing of it",
    "no-activity": "no traces, spikes or events of neurons",
    "not-tested": "given for anaesthesia or analgesia, or to block another drug; not as what is tested",
    "unsettled": "the file leaves open how its activity is to be read",
    "time-unknown": "the time of the administration is not stated",
    "drug-unresolved": "something was given, and it is not settled what",
    "activity-undated": "it is not stated when the neurons were recorded",
    "chronic": "given long before the recording, as a chronic treatment or earlier exposure",
    "drug-before-recording": "given before the recording began: no baseline in this file",
    "separate-files-untracked": "baseline and drug are in separate files without tracking ids",
    "separate-files-tracked": "baseline and drug are in separate files: join them by tracking id",
    "drug-after-recording": "given after the recording ended",
    "short-baseline": f"less than {MIN_WINDOW_S / 60:g} minutes of neurons before the administration",
    "short-drug": f"less than {MIN_WINDOW_S / 60:g} minutes of neurons after the administration",
    "few-neurons": f"fewer than {MIN_NEURONS} neurons",
    "animal-unknown": "neither the file nor the archive says which animal it is",
    "few-animals": f"fewer than {MIN_ANIMALS} animals with a recording that can be used",
    "no-files": "no NWB file that may have what is asked for",
    "no-control": "no saline or vehicle, and no baseline long enough for pseudo-injections",
    "drug-not-in-files": "the texts name the drug; no file that was read says which recording got it",
}
"""Code to what it means; the order is that in which reasons are given."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something cannot be estimated; ``words`` hold the numbers of this case."""

    code: str
    words: str


@dataclass(frozen=True, slots=True)
class PlannedWindows:
    """Windows around an administration that a recording has room for, s from it."""

    gap_s: float
    length_s: float
    has_pseudo: bool
    """Whether a pseudo-injection at the same lag fits into the baseline."""

    @property
    def lag_s(self) -> float:
        """From the start of the baseline window to that of the drug window."""
        return self.length_s + 2 * self.gap_s


@dataclass(frozen=True, slots=True)
class Readiness:
    """What a recording or an arm can be used for."""

    reasons: tuple[Reason, ...]
    pseudo: bool = False
    """Whether pseudo-injections (control N1) are possible."""
    windows: PlannedWindows | None = None
    """Where the file holds no windows: those that would fit."""

    @property
    def estimable(self) -> bool:
        """Whether nothing stands against it."""
        return not self.reasons


def reason(code: str, words: str = "") -> Reason:
    """Return a reason; without words of its own, those of its code."""
    return Reason(code, words or REASONS[code])


def recording_readiness(
    facts: RecordingFacts, given: Given, *, others: Iterable[RecordingFacts] = (), animal: str = ""
) -> Readiness:
    """Return what one recording can be used for, as regards one administration.

    Parameters
    ----------
    facts
        The recording.
    given
        One of its administrations.
    others
        Other recordings of the same animal in the same dandiset.
    animal
        The animal as the archive states it, for files that do not.
    """
    found: list[Reason] = []
    if not (facts.subject_id or animal):
        found.append(reason("animal-unknown"))
    if given.role not in (Role.TEST, Role.VEHICLE, Role.ACTUATOR_LIGAND) and not given.is_control:
        found.append(reason("not-tested", f"given as {given.role.value}"))
    if facts.unsettled:
        found.append(reason("unsettled", facts.unsettled[0]))
    if given.time_s is None:
        found.append(reason("time-unknown"))
    n_neurons = max((each.n_neurons for each in facts.activities), default=0)
    if not n_neurons:
        return Readiness(tuple(found) if facts.unsettled else (*found, reason("no-activity")))
    if n_neurons < MIN_NEURONS:
        found.append(reason("few-neurons", f"{n_neurons} neurons, {MIN_NEURONS} needed"))
    dated = [each for each in facts.activities if each.spans_s and each.n_neurons]
    if not dated:
        found.append(reason("activity-undated"))
    if not dated or given.time_s is None:
        return Readiness(tuple(found))
    best = max(dated, key=lambda each: (_room_s(each, given), each.n_neurons))
    found += _time_reasons(best, given, facts, others)
    before_s, after_s = _before_s(best, given.time_s), _after_s(best, given)
    windows = planned_windows(before_s, after_s)
    return Readiness(tuple(found), _has_pseudo(facts, before_s, windows), None if facts.windows else windows)


def _time_reasons(
    activity: Activity, given: Given, facts: RecordingFacts, others: Iterable[RecordingFacts]
) -> list[Reason]:
    assert given.time_s is not None
    start_s, stop_s = activity.spans_s[0][0], activity.spans_s[-1][1]
    if given.time_s >= stop_s:
        ago = f"given {_minutes(given.time_s - stop_s)} after the recording ended"
        return [reason("drug-after-recording", ago)]
    if given.time_s <= start_s:
        if given.time_s < -ACUTE_S:
            return [reason("chronic", f"given {(start_s - given.time_s) / 3600:.0f} h before the recording")]
        early = f"given {_minutes(start_s - given.time_s)} before the recording began"
        found = [reason("drug-before-recording", early)]
        earlier = [each for each in others if each.start_time < facts.start_time and each.activities]
        if earlier:
            tracked = _is_tracked(facts) and any(map(_is_tracked, earlier))
            found.append(reason("separate-files-tracked" if tracked else "separate-files-untracked"))
        return found
    found = []
    before_s, after_s = _before_s(activity, given.time_s), _after_s(activity, given)
    for window, code, there_s in (
        (Window.BASELINE, "short-baseline", before_s),
        (Window.DRUG, "short-drug", after_s),
    ):
        stated = [each for each in facts.windows if each.window is window]
        kept_s = (
            sum(_overlap_s(activity, each.start_s, each.stop_s) for each in stated) if stated else there_s
        )
        if kept_s < MIN_WINDOW_S:
            where = "the window of the file has" if stated else "neurons were recorded for"
            side = "before" if window is Window.BASELINE else "after"
            found.append(reason(code, f"{where} {_minutes(kept_s)} {side} the administration"))
    return found


def planned_windows(before_s: float, after_s: float) -> PlannedWindows | None:
    """Return windows that fit before and after an administration, or None when none do.

    They are as long as `GOOD_WINDOW_S` where there is time, and only as long as leaves room for a
    pseudo-injection at the same lag inside the baseline (control N1) where that is long enough: a baseline
    of twice the lag, which is the length of a window and both gaps.
    """
    gap_s = GAP_S if min(before_s, after_s) >= MIN_WINDOW_S + GAP_S else 0.0
    length_s = min(GOOD_WINDOW_S, before_s - gap_s, after_s - gap_s)
    if length_s < MIN_WINDOW_S:
        return None
    with_pseudo_s = min(length_s, before_s / 2 - 2 * gap_s)
    if with_pseudo_s >= MIN_WINDOW_S:
        return PlannedWindows(gap_s, float(int(with_pseudo_s)), has_pseudo=True)
    return PlannedWindows(gap_s, float(int(length_s)), has_pseudo=False)


def _has_pseudo(facts: RecordingFacts, before_s: float, windows: PlannedWindows | None) -> bool:
    held = {each.window: each for each in facts.windows}
    if {Window.PSEUDO_BASELINE, Window.PSEUDO_DRUG} <= held.keys():
        return True
    if {Window.BASELINE, Window.DRUG} <= held.keys():
        return before_s >= 2 * (held[Window.DRUG].start_s - held[Window.BASELINE].start_s)
    return windows is not None and windows.has_pseudo


def arm_readiness(recordings: Sequence[tuple[str, Readiness]], *, controls: Sequence[str]) -> Readiness:
    """Return what the recordings of one dandiset that hold one drug can be used for together.

    Parameters
    ----------
    recordings
        Animal and readiness of each of them.
    controls
        What else was given in place of the drug, in usable recordings.
    """
    usable = {animal for animal, each in recordings if each.estimable and animal}
    with_pseudo = {animal for animal, each in recordings if each.estimable and each.pseudo and animal}
    found = []
    if len(usable) < MIN_ANIMALS:
        words = (
            f"{len(usable)} animal{'s' * (len(usable) != 1)} with a usable recording, {MIN_ANIMALS} needed"
        )
        found.append(reason("few-animals", words))
    if not controls and not usable:
        found.append(reason("no-control", "no recording with saline or vehicle"))
    elif not controls and len(with_pseudo) < min(len(usable), MIN_ANIMALS):
        found.append(reason("no-control"))
    return Readiness(tuple(found), pseudo=len(with_pseudo) >= MIN_ANIMALS)


def _room_s(activity: Activity, given: Given) -> float:
    assert given.time_s is not None
    return min(_before_s(activity, given.time_s), _after_s(activity, given), GOOD_WINDOW_S)


def _before_s(activity: Activity, time_s: float) -> float:
    return sum(max(min(stop_s, time_s) - start_s, 0.0) for start_s, stop_s in activity.spans_s)


def _after_s(activity: Activity, given: Given) -> float:
    assert given.time_s is not None
    return sum(max(stop_s - max(start_s, given.time_s), 0.0) for start_s, stop_s in activity.spans_s)


def _overlap_s(activity: Activity, start_s: float, stop_s: float) -> float:
    return sum(max(min(stop, stop_s) - max(start, start_s), 0.0) for start, stop in activity.spans_s)


def _is_tracked(facts: RecordingFacts) -> bool:
    return any(each.n_tracked >= MIN_NEURONS for each in facts.activities)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
