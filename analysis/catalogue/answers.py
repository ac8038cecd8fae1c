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
    arm_readiness,
    reason,
    recording_readiness,
)
from nwbswitch.analysis.catalogue.recordings import AskedVersion, Recording
from nwbswitch.schemas.drug_log import Role
from nwbswitch.schemas.drug_reading.evidence import Confidence


@dataclass(frozen=True, slots=True)
class Hit:
    """A recording and one administration of the drug in it, or the archive's words where there is none."""

    recording: Recording
    drug: str
    given: Given | None
    mention: TextMention | None
    """Given where ``given`` is not."""
    readiness: Readiness

    @property
    def evidence(self) -> str:
        """Where the drug is named, and in which words."""
        if self.given is not None:
            return _cited(self.given.place, self.given.quote)
        assert self.mention is not None
        return _cited(f"archive, {self.mention.place}", self.mention.quote)

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
    arms: tuple[Arm, ...]
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
        held[each.asset.dandiset].append(each)
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
    if facts is None:
        why = reason("not-read", recording.refused or _unread(recording))
        return _named_only(filters, recording, recording.mentions, Readiness((why,)), unstated)
    named = [each for each in facts.given if each.substance in filters.drug.all]
    if not named and facts.unresolved:
        why = reason("drug-unresolved", f"something was given, it is not settled what: {facts.unresolved[0]}")
        mentions = recording.mentions or of_dandiset
        return _named_only(filters, recording, mentions, Readiness((why,)), unstated)
    if not named and _otherwise(filters, recording):
        return []
    if not named:
        why = reason("drug-not-in-file")
        return _named_only(filters, recording, recording.mentions, Readiness((why,)), unstated)
    if not _states_what_is_asked(filters, recording, unstated):
        return []
    siblings = [each.facts for each in others if each.facts is not None and each.row != recording.row]
    return [
        Hit(
            recording,
            each.substance,
            each,
            None,
            recording_readiness(facts, each, others=siblings, animal=recording.animal),
        )
        for each in named
        if _taken(filters, each, unstated)
    ]


def _unread(recording: Recording) -> str:
    return (
        "stored as Zarr, which is not read here" if recording.asset.is_zarr else "it was not looked into yet"
    )


def _named_only(
    filters: Filters,
    recording: Recording,
    mentions: Sequence[TextMention],
    readiness: Readiness,
    unstated: Counter[str],
) -> list[Hit]:
    """Return a file of which only the archive's texts name the drug, once for each name of it."""
    if not mentions:
        return []
    if recording.facts is not None and not _states_what_is_asked(filters, recording, unstated):
        return []
    if filters.route is not None or filters.asks_dose:
        unstated["route or dose"] += 1
        return []
    first = {each.substance: each for each in reversed(mentions)}
    return [Hit(recording, name, None, first[name], readiness) for name in sorted(first)]


def _states_what_is_asked(filters: Filters, recording: Recording, unstated: Counter[str]) -> bool:
    """Return whether a file that was read is of the species, modality and region that are asked for."""
    from nwbswitch.analysis.reading.regions import within

    assert recording.facts is not None
    species = recording.facts.species or recording.species
    if filters.species is not None and species != filters.species:
        unstated["species"] += not species
        return False
    held = modalities(recording)
    if filters.modality is not None and filters.modality not in held:
        unstated["modality"] += not held
        return False
    if filters.region is not None and not any(
        within(each, filters.region) for each in recording.facts.regions
    ):
        unstated["region"] += not recording.facts.regions
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
    n_read = sum(each.facts is not None for each in held)
    controls = _controls(filters, held)
    arms = []
    for name in sorted(names, key=filters.drug.all.index):
        own = tuple(each for each in hits if each.drug == name)
        used = [(each.recording.animal, each.readiness) for each in own if each.given]
        readiness = arm_readiness(used, controls=[word for word, _ in controls], n_read=n_read)
        arms.append(
            Arm(
                dandiset=versions[0].dandiset,
                versions=tuple(dict.fromkeys(each.recording.asset.version for each in own))
                or (versions[0].label,),
                name=versions[0].name,
                drug=name,
                hits=own,
                controls=controls,
                mentions=tuple(each for each in mentions if each.substance == name),
                n_files=len(held),
                n_read=n_read,
                readiness=readiness,
            )
        )
    return arms


def _names_drug(filters: Filters, recording: Recording) -> bool:
    given = () if recording.facts is None else recording.facts.given
    return any(each.substance in filters.drug.all for each in given)


def _otherwise(filters: Filters, recording: Recording) -> tuple[str, ...]:
    """Return why a file names the drug without it being given, where it was not given."""
    if recording.facts is None or _names_drug(filters, recording):
        return ()
    named = (each.why for each in recording.facts.named if each.substance in filters.drug.all)
    return tuple(dict.fromkeys(named))


def _controls(filters: Filters, held: Iterable[Recording]) -> tuple[tuple[str, int], ...]:
    animals: dict[str, set[str]] = {}
    for recording in held:
        if recording.facts is None or not _states_what_is_asked(filters, recording, Counter()):
            continue
        for given in recording.facts.given:
            control = given.is_control or given.role is Role.VEHICLE
            if control and recording_readiness(recording.facts, given, animal=recording.animal).estimable:
                animals.setdefault(given.substance, set()).add(recording.animal)
    return tuple((name, len(found)) for name, found in sorted(animals.items()))


def _cited(place: str, quote: str) -> str:
    return f"{place}: {quote}" if place else quote
