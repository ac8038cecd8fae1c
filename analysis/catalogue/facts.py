"""What reading a file told of it, as far as finding it and judging its use need."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from nwbswitch.schemas.drug_log import Role
from nwbswitch.schemas.drug_reading.evidence import Confidence, Evidence, MentionReason
from nwbswitch.schemas.drug_reading.names import known_spellings
from nwbswitch.schemas.epochs import Window
from nwbswitch.schemas.issues import Severity

if TYPE_CHECKING:
    from nwbswitch.analysis.reading.outline import NeuronTable, Outline, Plane, Points
    from nwbswitch.schemas.drug_log import Administration

FACTS_VERSION = 1
"""Raised whenever the facts of the same outline would come out different."""
MILLIGRAMS = "mg/kg"
MAX_VALUES = 1000
"""Of one list; a file may name another area, or another span of time, for each of a million neurons."""
MAX_CHARACTERS = 2000
SETTLED_OTHERWISE = frozenset(("no-epochs", "no-activity"))
"""Findings that have a reason of their own, or that windows in the overrides settle."""


@dataclass(frozen=True, slots=True)
class Activity:
    """Neurons that were recorded together on one clock."""

    name: str
    modality: str
    """ophys or ecephys."""
    n_neurons: int
    n_tracked: int
    """Of them, those with an identity across recording sessions."""
    spans_s: tuple[tuple[float, float], ...]
    """When they were recorded, s on the session clock; empty where the file does not say."""


@dataclass(frozen=True, slots=True)
class Given:
    """One administration as the file states it."""

    substance: str
    role: Role
    is_control: bool
    dose: float | None
    dose_unit: str
    dose_mg_per_kg: float | None
    """As stated, whether it counts a salt or its base; None where that is not known."""
    route: str
    time_s: float | None
    """s on the session clock; None where the file does not say."""
    duration_s: float
    place: str
    quote: str
    confidence: Confidence
    """Of the substance."""


@dataclass(frozen=True, slots=True)
class Span:
    """An analysis window that the file holds."""

    window: Window
    start_s: float
    stop_s: float


@dataclass(frozen=True, slots=True)
class Named:
    """A substance that the file names, and why it does not count as given."""

    substance: str
    why: MentionReason
    place: str
    quote: str


@dataclass(frozen=True, slots=True)
class RecordingFacts:
    """One recording session as its file states it."""

    subject_id: str
    species: str
    session_id: str
    start_time: str
    """ISO 8601."""
    activities: tuple[Activity, ...]
    regions: tuple[str, ...]
    given: tuple[Given, ...]
    windows: tuple[Span, ...]
    unresolved: tuple[str, ...]
    """Words that say that something was given, without what."""
    named: tuple[Named, ...]
    """Substances that the file names and that were not given in this recording session."""
    unsettled: tuple[str, ...]
    """What the file leaves open and has to be settled before anything is measured."""
    is_simulated: bool = False

    @property
    def substances(self) -> tuple[str, ...]:
        """All that it names, given or not, each once."""
        given, named = (each.substance for each in self.given), (each.substance for each in self.named)
        return tuple(dict.fromkeys((*given, *named)))


FACTS: TypeAdapter[RecordingFacts] = TypeAdapter(RecordingFacts)
"""Reads and writes facts as JSON."""


def facts_of(outline: Outline) -> RecordingFacts:
    """Return the facts of a recording."""
    from nwbswitch.schemas.species import latin_name

    tables = [*(each.neurons for each in outline.planes), *(each.neurons for each in outline.points)]
    return RecordingFacts(
        subject_id=outline.subject.subject_id,
        species=latin_name(outline.subject.species),
        session_id=outline.session_id,
        start_time=outline.start_time.isoformat(),
        activities=(*map(_of_plane, outline.planes), *map(_of_points, outline.points)),
        regions=tuple(sorted({region for table in tables for region in _regions(table)})[:MAX_VALUES]),
        given=tuple(
            _given(row, [each for each in outline.evidence if each.administration == position])
            for position, row in enumerate(outline.administrations)
        ),
        windows=tuple(Span(each.window, each.start_s, each.stop_s) for each in outline.windows),
        unresolved=tuple(each.quote for each in outline.evidence if _is_nameless(each))[:MAX_VALUES],
        named=tuple(
            Named(each.substance, each.why, each.place, each.quote) for each in outline.mentions[:MAX_VALUES]
        ),
        unsettled=tuple(
            each.message[:MAX_CHARACTERS]
            for each in outline.issues
            if each.severity is Severity.ERROR and each.code not in SETTLED_OTHERWISE
        )[:MAX_VALUES],
        is_simulated=outline.simulated,
    )


def _is_nameless(evidence: Evidence) -> bool:
    """Return whether something was given of which no known name is stated."""
    is_open = evidence.field == "substance" and evidence.confidence is Confidence.UNRESOLVED
    return is_open and not any(each.name == evidence.value for each in known_spellings().values())


def _of_plane(plane: Plane) -> Activity:
    rows = [int(row) for row in plane.rows]
    n_neurons, n_tracked = _counts(plane.neurons, rows)
    return Activity(plane.name, "ophys", n_neurons, n_tracked, ((plane.clock.start_s, plane.clock.stop_s),))


def _of_points(points: Points) -> Activity:
    n_neurons, n_tracked = _counts(points.neurons, range(len(points.neurons.accepted)))
    spans = tuple(zip(points.observed_start_s, points.observed_stop_s, strict=True))
    modality = "ecephys" if points.kind == "spikes" else "ophys"
    longest = sorted(spans, key=lambda span: span[1] - span[0])[-MAX_VALUES:]
    return Activity(points.name, modality, n_neurons, n_tracked, tuple(sorted(longest)))


def _counts(table: NeuronTable, rows: Iterable[int]) -> tuple[int, int]:
    accepted = [row for row in rows if table.accepted[row]]
    return len(accepted), sum(bool(table.tracking_id[row]) for row in accepted)


def _regions(table: NeuronTable) -> set[str]:
    held = zip(table.accepted, table.region, strict=True)
    return {region for accepted, region in held if accepted and region and region != "unknown"}


def _given(row: Administration, evidence: list[Evidence]) -> Given:
    named = next((each for each in evidence if each.field == "substance"), None)
    return Given(
        substance=row.substance,
        role=row.role,
        is_control=row.is_control,
        dose=row.dose,
        dose_unit=row.dose_unit,
        dose_mg_per_kg=_mg_per_kg(row),
        route=row.route,
        time_s=None if "timestamp_s" in row.missing else row.timestamp_s,
        duration_s=row.duration_s,
        place=named.place if named else "",
        quote=named.quote if named else row.substance,
        confidence=named.confidence if named else Confidence.STATED,
    )


def _mg_per_kg(row: Administration) -> float | None:
    from nwbswitch.schemas.doses import dose_mg_per_kg_free_base
    from nwbswitch.schemas.units import convert

    if row.dose is None or not row.dose_unit:
        return dose_mg_per_kg_free_base(row)
    try:
        return convert(row.dose, row.dose_unit, MILLIGRAMS)
    except ValueError:
        pass
    if row.body_weight_g is not None:
        try:
            return convert(row.dose, row.dose_unit, "mg") / row.body_weight_g * 1000
        except ValueError:
            pass
    return dose_mg_per_kg_free_base(row)
