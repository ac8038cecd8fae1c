"""What a resolved session must fulfil beyond the types of its fields: words, genetic tools and windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from nwbswitch.schemas.drug_log import Administration, deciding_row
from nwbswitch.schemas.epochs import Epoch, TimeZero, must_be_apart
from nwbswitch.schemas.issues import Issue, issue, nearest
from nwbswitch.schemas.study_positions import KeyPath, Places, place_of
from nwbswitch.schemas.vocabularies import canonical, spellings

UNKNOWN = "unknown"
NO_UNIT = "n/a"
SIGNAL_UNITS = {"speed": ("m/s", "rad/s"), "position": ("m", "rad"), "distance": ("m", "rad")}
"""SI units that a signal may have, along the wheel's surface or as an angle."""
VOCABULARY_OF = {"region": "regions", "target_structure": "regions", "cell_type": "cell_types"}


def canonical_words(
    imaging: Mapping[str, object], places: Places, path: KeyPath, *, mouse: bool
) -> tuple[dict[str, object], list[Issue]]:
    """Return ``imaging`` with region and cell type as the vocabulary spells them, and unknown words.

    The regions are those of the mouse; of another animal an unknown one is kept, with a warning.
    """
    result, found = dict(imaging), []
    for field, vocabulary in VOCABULARY_OF.items():
        word = imaging.get(field)
        if not isinstance(word, str) or word in ("", UNKNOWN):
            continue
        known = canonical(vocabulary, word)
        if known is None:
            accepted = [spelling for each in spellings(vocabulary).values() for spelling in each]
            message = f"{word!r} is not in the vocabulary of {vocabulary.replace('_', ' ')}."
            place = place_of(places, (*path, field))
            if vocabulary == "regions" and not mouse:
                message += " It is stored as written: the vocabulary is that of the mouse."
                found.append(issue("unknown-region", message, place=place))
                continue
            remedy = nearest(word, accepted) or "Write 'unknown' if the source does not state it."
            found.append(issue("unknown-word", message, place=place, remedy=remedy))
        else:
            result[field] = known
    return result, found


def tool_issues(value: Mapping[str, object], places: Places) -> list[Issue]:
    """Return actuators that name a virus or a ligand that is not known."""
    viruses, actuators = value.get("viruses"), value.get("actuators")
    known = list(viruses) if isinstance(viruses, dict) else []
    found = []
    for name, actuator in actuators.items() if isinstance(actuators, dict) else ():
        virus = actuator.get("virus") if isinstance(actuator, dict) else None
        if isinstance(virus, str) and virus and virus not in known:
            message = f"The actuator {name!r} names the virus {virus!r}, which is not under viruses."
            remedy = nearest(virus, known) or f"Viruses of this session: {', '.join(known) or 'none'}."
            place = place_of(places, ("actuators", name, "virus"))
            found.append(issue("unknown-word", message, place=place, remedy=remedy))
    return found


def resolved_epochs(
    epochs: Sequence[Epoch], drug_log: Sequence[Administration], places: Places, path: KeyPath
) -> tuple[tuple[Epoch, ...], list[Issue]]:
    """Return the windows on the session clock, and what keeps one from being placed there."""
    zero = deciding_row(drug_log)
    result, found = [], []
    for position, epoch in enumerate(epochs):
        if epoch.relative_to is TimeZero.SESSION:
            result.append(epoch)
        elif zero is None:
            message = f"The window {epoch.window} counts from an administration, but this session has none."
            remedy = "Add it to the drug log, or give the window relative_to: session."
            place = place_of(places, (*path, position))
            found.append(issue("missing-value", message, place=place, remedy=remedy))
        else:
            start, stop = zero.timestamp_s + epoch.start_s, zero.timestamp_s + epoch.stop_s
            result.append(
                Epoch(window=epoch.window, start_s=start, stop_s=stop, relative_to=TimeZero.SESSION)
            )
    return tuple(result), found


def overlap_issues(epochs: Sequence[Epoch], places: Places, path: KeyPath) -> list[Issue]:
    """Return pairs of windows that share time although they must be apart."""
    found = []
    for (_, one), (position, other) in combinations(enumerate(epochs), 2):
        shared = one.start_s < other.stop_s and other.start_s < one.stop_s
        if shared and must_be_apart(one.window, other.window):
            message = (
                f"The windows {one.window} [{one.start_s:g}, {one.stop_s:g}) s and {other.window} "
                f"[{other.start_s:g}, {other.stop_s:g}) s overlap."
            )
            found.append(issue("epochs-overlap", message, place=place_of(places, (*path, position))))
    return found
