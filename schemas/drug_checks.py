"""Checks of one administration against the vocabularies, and its canonical form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

from nwbswitch.schemas import vocabularies
from nwbswitch.schemas.doses import CONCENTRATION_KINDS, DOSE_KINDS, dose_mg_per_kg_free_base
from nwbswitch.schemas.drug_log import Administration, MissingReason
from nwbswitch.schemas.issues import Issue, Place, issue, nearest
from nwbswitch.schemas.substance import Stereochemistry, Substance
from nwbswitch.schemas.substances import salt_name, substance_of, substances
from nwbswitch.schemas.units import convert, parse_unit, plain_micro

MISSING_REASONS: tuple[str, ...] = get_args(MissingReason)
DOSE_MARGIN = 5.0
"""A dose below the typical range divided by this, or above it times this, is reported as implausible."""


def canonical_administration(row: Administration) -> Administration:
    """Return the row with the vocabulary's words for substance, salt, route and target structure.

    Units are written in UCUM, with u for the micro sign.

    A stereochemistry that is not stated is filled in when the name itself fixes it (achiral, S or R);
    what the vocabulary does not hold is left as it is.
    """
    changes: dict[str, Any] = {}
    substance = substance_of(row)
    if substance is not None:
        changes["substance"] = substance.name
        salt = salt_name(substance, row.salt) if row.salt else None
        if salt is not None:
            changes["salt"] = salt
        fixed = (Stereochemistry.ACHIRAL, Stereochemistry.S, Stereochemistry.R)
        if row.stereochemistry is Stereochemistry.UNKNOWN and substance.stereochemistry in fixed:
            changes["stereochemistry"] = substance.stereochemistry
    for name, vocabulary in (("route", "routes"), ("target_structure", "regions")):
        word = vocabularies.canonical(vocabulary, getattr(row, name))
        if word is not None:
            changes[name] = word
    for _, name, _ in _UNIT_FIELDS:
        changes[name] = plain_micro(getattr(row, name))
    return row.model_copy(update=changes)


def check_administration(row: Administration, place: Place) -> list[Issue]:
    """Return every finding about one administration: words, units, dose and stereochemistry."""
    found: list[Issue] = []
    substance = substance_of(row)
    if substance is None:
        found.append(
            issue(
                "unknown-drug",
                f"The substance {row.substance!r} is not in the vocabulary.",
                place=_inside(place, "substance"),
                remedy=nearest(row.substance, _substance_words())
                or "Give its usual name, e.g. ketamine, or describe it under substances of the study file.",
            )
        )
    for name, vocabulary in (("route", "routes"), ("target_structure", "regions")):
        word = getattr(row, name)
        if word and vocabularies.canonical(vocabulary, word) is None:
            found.append(unknown_word(name, word, _vocabulary_words(vocabulary), place))
    found += _unit_issues(row, place)
    found += _form_issues(row, substance, place)
    found += _dose_issues(row, substance, place)
    found += _infusion_issues(row, place)
    return found


def _inside(place: Place, item: str) -> Place:
    return Place(place.file, place.line, f"{place.item}.{item}" if place.item else item)


def _substance_words() -> list[str]:
    return [word for each in substances().values() for word in each.spellings]


def _vocabulary_words(name: str) -> list[str]:
    return [word for known in vocabularies.spellings(name).values() for word in known]


def unknown_word(field: str, word: str, words: Sequence[str], place: Place) -> Issue:
    """Return the finding that ``word`` is not in the vocabulary of ``field``, with the nearest word."""
    return issue(
        "unknown-word",
        f"{word!r} is no {field.replace('_', ' ')} of the vocabulary.",
        place=_inside(place, field),
        remedy=nearest(word, words) or f"Expected one of: {', '.join(words[:12])}.",
    )


_UNIT_FIELDS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("dose", "dose_unit", DOSE_KINDS),
    ("concentration", "concentration_unit", CONCENTRATION_KINDS),
    ("infusion_rate", "infusion_rate_unit", ("volume/time", "mass/time", "amount/time", "mass/mass/time",
                                             "mass/masstime", "amount/masstime", "volume/masstime", "1")),
)  # fmt: skip


_VOLUMES = ("volume", "volume/mass")
_DOSE_REMEDY = (
    "Doses are in mg/kg, umol/kg, [IU]/kg, mg, umol, [IU] or %; a volume (mL, mL/kg) becomes one with "
    "concentration and concentration_unit."
)


def _unit_issues(row: Administration, place: Place) -> list[Issue]:
    found = []
    for value, unit, kinds in _UNIT_FIELDS:
        text = getattr(row, unit)
        where = _inside(place, unit)
        if not text:
            if getattr(row, value) is not None:
                message = f"{value} is {getattr(row, value):g} without a unit."
                found.append(
                    issue("bad-unit", message, place=where, remedy=f"Give {unit} in UCUM, e.g. mg/kg.")
                )
            continue
        try:
            kind = parse_unit(text).kind
        except ValueError as error:
            found.append(issue("bad-unit", str(error), place=where))
            continue
        if value == "dose" and kind in _VOLUMES and row.concentration is None and not row.is_control:
            message = f"{text!r} is a volume, not a dose."
            found.append(issue("bad-unit", message, place=where, remedy=_DOSE_REMEDY))
        elif kind not in kinds:
            message = f"{text!r} measures {kind}, which is no {value.replace('_', ' ')}."
            remedy = _DOSE_REMEDY if value == "dose" else f"Expected one of: {', '.join(kinds)}."
            found.append(issue("bad-unit", message, place=where, remedy=remedy))
    return found


def _form_issues(row: Administration, substance: Substance | None, place: Place) -> list[Issue]:
    """Check salt and stereochemistry against the vocabulary."""
    if substance is None:
        return []
    found = []
    if row.salt and salt_name(substance, row.salt) is None:
        known = list(substance.salts)
        found.append(
            issue(
                "unknown-word",
                f"{row.salt!r} is no salt form known for {substance.name}.",
                place=_inside(place, "salt"),
                remedy=nearest(row.salt, known)
                or (f"Known: {', '.join(known)}." if known else "Leave salt empty for the free base."),
            )
        )
    known_form, stated = substance.stereochemistry, row.stereochemistry
    if Stereochemistry.UNKNOWN not in (known_form, stated) and known_form is not stated:
        found.append(
            issue(
                "wrong-value",
                f"{substance.name} is {known_form}, but stereochemistry says {stated}.",
                place=_inside(place, "stereochemistry"),
                remedy="Name the isomer as the substance, e.g. S-ketamine.",
            )
        )
    return found


INFUSION_TOLERANCE = 0.1
"""Rate times duration and volume of an infusion differ by more than this part: one of them is wrong."""


def _infusion_issues(row: Administration, place: Place) -> list[Issue]:
    """Check where a local infusion went, and that its rate, duration and volume fit together."""
    found = []
    coordinates = (row.target_ap_mm, row.target_ml_mm, row.target_dv_mm)
    is_local = vocabularies.canonical("routes", row.route) == "local infusion"
    unplaced = not row.target_structure and None in coordinates
    if is_local and unplaced and "target_structure" not in row.missing:
        message = f"Where {row.substance} was infused is not stated."
        remedy = "Give target_structure or target_ap_mm, target_ml_mm and target_dv_mm, or the reason."
        found.append(
            issue("infusion-target-missing", message, place=_inside(place, "target_structure"), remedy=remedy)
        )
    if row.infusion_rate is None or row.volume_ml is None or not row.duration_s:
        return found
    try:
        if parse_unit(row.infusion_rate_unit).kind != "volume/time":
            return found
        infused_ml = convert(row.infusion_rate, row.infusion_rate_unit, "mL/s") * row.duration_s
    except ValueError:
        return found
    if abs(infused_ml - row.volume_ml) > INFUSION_TOLERANCE * row.volume_ml:
        message = (
            f"{row.infusion_rate:g} {row.infusion_rate_unit} for {row.duration_s:g} s are "
            f"{infused_ml:.4g} mL, volume_ml is {row.volume_ml:g}."
        )
        remedy = "Correct the rate, its unit, the duration or the volume."
        found.append(issue("infusion-differs", message, place=_inside(place, "volume_ml"), remedy=remedy))
    return found


def _dose_issues(row: Administration, substance: Substance | None, place: Place) -> list[Issue]:
    by_volume = row.concentration is not None and row.volume_ml is not None
    if row.dose is None and not by_volume and not row.is_control and "dose" not in row.missing:
        return [
            issue(
                "dose-missing",
                f"{row.substance} has neither a dose nor a concentration with a volume.",
                place=_inside(place, "dose"),
                remedy=f"Give the dose, or write the reason: {', '.join(MISSING_REASONS)}.",
            )
        ]
    dose = dose_mg_per_kg_free_base(row)
    if dose is None or substance is None or substance.dose_mg_per_kg is None:
        return []
    low, high = substance.dose_mg_per_kg
    if low / DOSE_MARGIN <= dose <= high * DOSE_MARGIN:
        return []
    return [
        issue(
            "dose-implausible",
            f"{dose:.4g} mg/kg of {substance.name} is far outside the typical {low:g} to {high:g} mg/kg.",
            place=_inside(place, "dose"),
            remedy="Check the dose and its unit.",
        )
    ]
