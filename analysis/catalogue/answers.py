"""From recordings to what is answered: which hold the drug, and what can be made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nwbswitch.analysis.catalogue.facts import Given, RecordingFacts
from nwbswitch.analysis.catalogue.filters import Filters
from nwbswitch.analysis.catalogue.mentions import TextMention
from nwbswitch.analysis.catalogue.modalities import Modality
from nwbswitch.analysis.catalogue.readiness import (
    Readiness,
    Reason,
    arm_readiness,
    reason,
    recording_readiness,
)
from nwbswitch.analysis.catalogue.recordings import Recording
from nwbswitch.analysis.catalogue.versions import AskedVersion
from nwbswitch.schemas.drug_log import Role
from nwbswitch.schemas.drug_reading.evidence import Confidence, MentionReason
from nwbswitch.schemas.vocabularies import canonical

OPEN = frozenset((MentionReason.TOPIC, MentionReason.ALTERNATIVE, MentionReason.CONTRADICTED))
"""Reasons for which a drug that a file names may have been given all the same."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A recording and one administration of the drug in it, or words that say that there may be one."""

    recording: Recording
    drug: str
    given: Given | None
    evidence: str
    """Where the drug is named, and in which words."""
    readiness: Readiness

    @property
    def confidence(self) -> Confidence:
        """How sure the drug is."""
        return self.given.confidence if self.given is not None else Confidence.UNRESOLVED


@dataclass(frozen=True, slots=True)
class Arm:
    """The recordings of one dandiset that hold one drug."""

    dandiset: str
    versions: tuple[str, ...]
    name: str
    drug: str
    hits: tuple[Hit, ...]
    controls: tuple[tuple[str, int], ...]
    """What was given in place of the drug, and to how many animals with a usable recording."""
    mentions: tuple[TextMention, ...]
    """Where the texts of the dandiset name the drug."""
    n_files: int
    n_read: int
    readiness: Readiness

    @property
    def animals(self) -> frozenset[str]:
        """Animals with a recording that holds the drug."""
        return frozenset(each.recording.animal for each in self.hits if each.given) - {""}

    @property
    def usable_animals(self) -> frozenset[str]:
        """Of them, those with a recording that can be used."""
        return frozenset(each.recording.animal for each in self.hits if each.readiness.estimable) - {""}

    @property
    def n_recordings(self) -> int:
        """Files that hold the drug."""
        return len({each.recording.row for each in self.hits if each.given})

    @property
    def n_neurons(self) -> int:
        """Neurons in them; one that was recorded twice counts twice."""
        held = {each.recording.row: neurons(each.recording.facts) for each in self.hits if each.given}
        return sum(held.values())


@dataclass(frozen=True, slots=True)
class Answers:
    """What was found, and how many recordings were left out for not stating what was asked for."""

    hits: tuple[Hit, ...]
    """By dandiset and path."""
    arms: tuple[Arm, ...]
    """Those first that can be estimated, then by the number of animals."""
    unstated: tuple[tuple[str, int], ...]
    """What is not stated, and by how many files that hold or may hold the drug."""
    named_otherwise: tuple[tuple[str, int], ...]
    """Why files name the drug without it being given in the recording session, and how many do."""


def answer(filters: Filters, versions: Sequence[AskedVersion], recordings: Sequence[Recording]) -> Answers:
    """Return what recordings tell of a question.

    Parameters
    ----------
    filters
        The question.
    versions
        Those that were looked into.
    recordings
        Their files.
    """
    held: dict[str, list[Recording]] = {each.dandiset: [] for each in versions}
    for each in recordings:
        held[each.dandiset].append(each)
    asked: dict[str, list[AskedVersion]] = {}
    for version in versions:
        asked.setdefault(version.dandiset, []).append(version)
    unstated: Counter[str] = Counter()
    otherwise: Counter[str] = Counter(why for each in recordings for why in _otherwise(filters, each))
    hits: list[Hit] = []
    arms: list[Arm] = []
    for dandiset, own in asked.items():
        found = _hits_of_dandiset(filters, own, held[dandiset], unstated)
        hits += found
        arms += _arms(filters, own, held[dandiset], found)
    return Answers(
        tuple(hits), tuple(arms), tuple(sorted((+unstated).items())), tuple(sorted(otherwise.items()))
    )


def neurons(facts: RecordingFacts | None) -> int:
    """Return how many neurons a recording holds; 0 where it is not known."""
    return 0 if facts is None else sum(each.n_neurons for each in facts.activities)


def modalities(recording: Recording) -> frozenset[Modality]:
    """Return the kinds of recording in a file, as the archive and the file itself say."""
    seen = () if recording.facts is None else recording.facts.activities
    return recording.modalities | {Modality(each.modality) for each in seen if each.n_neurons}


def _hits_of_dandiset(
    filters: Filters,
    versions: Sequence[AskedVersion],
    held: Sequence[Recording],
    unstated: Counter[str],
) -> list[Hit]:
    of_animal: dict[str, list[Recording]] = {}
    for each in held:
        of_animal.setdefault(each.animal, []).append(each)
    of_dandiset = tuple(each for version in versions for each in version.mentions)
    found: list[Hit] = []
    for each in held:
        others = of_animal[each.animal] if each.animal else []
        found += _hits(filters, each, others, of_dandiset, unstated)
    return found


def _hits(
    filters: Filters,
    recording: Recording,
    others: Sequence[Recording],
    of_dandiset: Sequence[TextMention],
    unstated: Counter[str],
) -> list[Hit]:
    facts = recording.facts
    given = [] if facts is None else [each for each in facts.given if each.substance in filters.drug.all]
    open_words = {} if given else _open_words(filters, recording, of_dandiset)
    if not (given or open_words) or not _may_have(filters, recording, unstated):
        return []
    if facts is not None and given:
        siblings = [each.facts for each in others if each.facts is not None and each.row != recording.row]
        return [
            Hit(
                recording,
                each.substance,
                each,
                cited(each.place, each.quote),
                recording_readiness(facts, each, others=siblings, animal=recording.animal),
            )
            for each in given
            if _taken(filters, each, unstated)
        ]
    if filters.route is not None or filters.asks_dose:
        unstated["route" if filters.route is not None else "dose in mg/kg"] += 1
        return []
    return [
        Hit(recording, name, None, evidence, Readiness((why,)))
        for name, (evidence, why) in sorted(open_words.items())
    ]


def _open_words(
    filters: Filters, recording: Recording, of_dandiset: Sequence[TextMention]
) -> dict[str, tuple[str, Reason]]:
    """Return names of the drug that a file may hold, each with where it is said and why it is not settled."""
    archived = {
        each.substance: cited(f"archive, {each.place}", each.quote) for each in reversed(recording.mentions)
    }
    facts = recording.facts
    if facts is None:
        return {name: (words, reason("not-read", _unread(recording))) for name, words in archived.items()}
    named = [each for each in facts.named if each.substance in filters.drug.all]
    found: dict[str, tuple[str, Reason]] = {}
    for each in named:
        if each.why in OPEN or each.why is MentionReason.CHRONIC:
            code = "drug-unresolved" if each.why in OPEN else "chronic"
            found.setdefault(each.substance, (cited(each.place, each.quote), reason(code, each.why.value)))
    if named:
        return found
    if facts.unresolved:
        of_text = {each.substance: cited(f"dandiset, {each.place}", each.quote) for each in of_dandiset}
        why = reason("drug-unresolved", f"something was given, it is not settled what: {facts.unresolved[0]}")
        return {name: (words, why) for name, words in (archived or of_text).items()}
    return {name: (words, reason("drug-not-in-file")) for name, words in archived.items()}


def _unread(recording: Recording) -> str:
    if recording.is_zarr:
        return "stored as Zarr, which is not read here"
    return recording.refused or "the file was not read yet"


def _may_have(filters: Filters, recording: Recording, unstated: Counter[str]) -> bool:
    """Return whether a file is of the species, modality and region that are asked for, if it was read."""
    from nwbswitch.analysis.reading.regions import within

    if recording.facts is None:
        return True
    species = recording.facts.species or recording.species
    if filters.species is not None and species != filters.species:
        unstated["species"] += not species
        return False
    held = modalities(recording)
    if filters.modality is not None and filters.modality not in held:
        unstated["modality"] += not held
        return False
    regions = recording.facts.regions
    if filters.region is not None and not any(within(each, filters.region) for each in regions):
        # Words of a lab's own may mean the region all the same.
        unstated["region"] += not any(canonical("regions", each) for each in regions)
        return False
    return True


def _taken(filters: Filters, given: Given, unstated: Counter[str]) -> bool:
    if filters.takes(given):
        return True
    if filters.route is not None and not given.route:
        unstated["route"] += 1
    elif filters.asks_dose and given.dose_mg_per_kg is None:
        unstated["dose in mg/kg"] += 1
    return False


def _arms(
    filters: Filters, versions: Sequence[AskedVersion], held: Sequence[Recording], hits: Sequence[Hit]
) -> list[Arm]:
    """Return one arm for each name of the drug that a recording or a text of the dandiset has."""
    mentions = tuple(each for version in versions for each in version.mentions)
    stated = {each.drug for each in hits if each.given}
    names = stated or {each.drug for each in hits} or {each.substance for each in mentions}
    if not hits and (not mentions or any(_names_drug(filters, each) for each in held)):
        # What names it only where it was not asked for, say in another region, is no open question.
        return []
    controls = _controls(filters, held)
    arms = []
    for name in sorted(names, key=filters.drug.all.index):
        own = tuple(each for each in hits if each.drug == name)
        used = [(each.recording.animal, each.readiness) for each in own if each.given]
        readiness = (
            arm_readiness(used, controls=[word for word, _ in controls])
            if used
            else Readiness((_why_none(versions, held),))
        )
        arms.append(
            Arm(
                dandiset=versions[0].dandiset,
                versions=tuple(dict.fromkeys(each.recording.version for each in own)) or (versions[0].label,),
                name=versions[0].name,
                drug=name,
                hits=own,
                controls=controls,
                mentions=tuple(each for each in mentions if each.substance == name),
                n_files=len(held),
                n_read=sum(each.facts is not None for each in held),
                readiness=readiness,
            )
        )
    return arms


def _why_none(versions: Sequence[AskedVersion], held: Sequence[Recording]) -> Reason:
    """Return why a dandiset whose texts name the drug has no recording that holds it."""
    if not all(each.is_listed for each in versions):
        return reason("not-read", "its files were not listed yet")
    if not held:
        return reason("no-files")
    if any(each.facts is not None for each in held):
        return reason("drug-not-in-files")
    waiting = any(not each.refused and not each.is_zarr for each in held)
    return reason("not-read", "no file was read yet" if waiting else "none of its files can be read")


def _names_drug(filters: Filters, recording: Recording) -> bool:
    given = () if recording.facts is None else recording.facts.given
    return any(each.substance in filters.drug.all for each in given)


def _otherwise(filters: Filters, recording: Recording) -> tuple[str, ...]:
    """Return why a file names the drug without it being given, where nothing else is said."""
    if recording.facts is None or _names_drug(filters, recording):
        return ()
    named = [each for each in recording.facts.named if each.substance in filters.drug.all]
    if any(each.why in OPEN or each.why is MentionReason.CHRONIC for each in named):
        return ()
    return tuple(dict.fromkeys(each.why.value for each in named))


def _controls(filters: Filters, held: Iterable[Recording]) -> tuple[tuple[str, int], ...]:
    animals: dict[str, set[str]] = {}
    for recording in held:
        if recording.facts is None or not _may_have(filters, recording, Counter()):
            continue
        for given in recording.facts.given:
            found = animals.setdefault(given.substance, set())
            control = given.is_control or given.role is Role.VEHICLE
            if not control or recording.animal in found:
                continue
            if recording_readiness(recording.facts, given, animal=recording.animal).estimable:
                found.add(recording.animal)
    return tuple((name, len(found)) for name, found in sorted(animals.items()) if found)


def cited(place: str, quote: str) -> str:
    """Return words with the place where they stand."""
    return f"{place}: {quote}" if place else quote
