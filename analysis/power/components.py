"""How much animals, sessions, neurons and single measurements scatter: stated, or read off a pilot fit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final

from nwbswitch.schemas.errors import InputFileError

# A fit's JSON is a few kB; anything far larger is no fit.
MAX_FIT_BYTES: Final = 20_000_000
INTERCEPT: Final = "(Intercept)"


@dataclass(frozen=True, slots=True)
class Components:
    """Standard deviations on the outcome's scale; slopes are changes from baseline to the drug window.

    ``animal_response_sd`` is how much animals differ in what the drug does to them beyond what their two
    arms share: it exists where one animal gets both arms.
    """

    animal_intercept_sd: float = 0.0
    animal_slope_sd: float = 0.0
    animal_correlation: float = 0.0
    animal_response_sd: float = 0.0
    session_intercept_sd: float = 0.0
    session_slope_sd: float = 0.0
    session_correlation: float = 0.0
    neuron_sd: float = 0.0
    neuron_slope_sd: float = 0.0
    neuron_correlation: float = 0.0
    residual_sd: float = 1.0


@dataclass(frozen=True, slots=True)
class Pilot:
    """Components of a fit, the groups each level had, and what to know about them."""

    components: Components
    groups: Mapping[str, int]
    notes: tuple[str, ...]


def components_of_fit(path: Path, *, animal: str, session: str, neuron: str) -> Pilot:
    """Return the components of a fit that ``nwbswitch fit -o`` wrote.

    Intercepts are the terms named ``(Intercept)``. The slope of a group is its one other term without a
    colon; a term with a colon in the animals' group is their response to the drug.

    Parameters
    ----------
    path
        JSON with ``random: [{group, term, sd}]`` and, where there are several effects, ``correlations``.
    animal, session, neuron
        Names of the grouping factors in that fit.

    Raises
    ------
    InputFileError
        If the file is no fit, has no residual, or a group has several terms that could be its slope.
    """
    document = _read(path)
    rows = _rows(path, document, "random", {"group": str, "term": str, "sd": float})
    pairs = _rows(
        path, document, "correlations", {"group": str, "term_1": str, "term_2": str, "correlation": float}
    )
    found: dict[str, float] = {}
    notes: list[str] = []
    residual = [each["sd"] for each in rows if each["group"] == "Residual"]
    if len(residual) != 1:
        raise InputFileError(path, f"has {len(residual)} residual variances, expected one.", _REMEDY)
    found["residual_sd"] = residual[0]
    for kind, name in (("animal", animal), ("session", session), ("neuron", neuron)):
        own = {each["term"]: each["sd"] for each in rows if _is_group(str(each["group"]), name)}
        if not own:
            notes.append(f"The pilot has no random effect of {name}: its components are taken as 0.")
            continue
        slopes = [term for term in own if term != INTERCEPT and ":" not in term]
        responses = [term for term in own if ":" in term]
        if len(slopes) > 1 or len(responses) > 1:
            several = ", ".join(slopes if len(slopes) > 1 else responses)
            raise InputFileError(
                path,
                f"the group {name!r} has several terms that could be its slope: {several}.",
                "State the components in the design instead of from_fit.",
            )
        found[f"{kind}_{'sd' if kind == 'neuron' else 'intercept_sd'}"] = own.get(INTERCEPT, 0.0)
        if slopes:
            found[f"{kind}_slope_sd"] = own[slopes[0]]
            found[f"{kind}_correlation"] = _correlation(pairs, name, {INTERCEPT, slopes[0]})
        if responses and kind == "animal":
            found["animal_response_sd"] = own[responses[0]]
        elif responses:
            notes.append(f"The pilot's {responses[0]} in {name} is left out of the simulation.")
    return Pilot(Components(**found), _groups(document), tuple(notes))


def overridden(components: Components, stated: Mapping[str, float]) -> Components:
    """Return components with some replaced by stated ones."""
    known = {each.name for each in fields(Components)}
    return replace(components, **{name: value for name, value in stated.items() if name in known})


def sd_interval(sd: float, n_groups: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of an SD estimated from ``n_groups`` groups, by the chi-squared distribution.

    It takes the groups' effects as observed, so the interval of a fitted component is wider still.
    """
    from scipy.stats import chi2

    df = n_groups - 1
    low, high = chi2.ppf([0.5 + level / 2.0, 0.5 - level / 2.0], df)
    return sd * float((df / low) ** 0.5), sd * float((df / high) ** 0.5)


_REMEDY: Final = "Give the JSON that nwbswitch fit TABLE --formula F -o pilot.json writes."


def _read(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > MAX_FIT_BYTES:
            raise InputFileError(path, f"is larger than {MAX_FIT_BYTES / 1e6:g} MB.", _REMEDY)
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputFileError(path, "no such file.", _REMEDY) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputFileError(path, f"is not valid JSON ({str(error)[:200]}).", _REMEDY) from error
    if not isinstance(document, dict):
        raise InputFileError(path, "holds no JSON object.", _REMEDY)
    return document


def _rows(
    path: Path, document: Mapping[str, Any], key: str, columns: Mapping[str, type]
) -> list[dict[str, Any]]:
    """Return the rows of a table in a fit, each with its columns; a correlation that is not there is 0."""
    listed = document.get(key, [] if key == "correlations" else None)
    if not isinstance(listed, list):
        raise InputFileError(path, f"has no list {key!r}.", _REMEDY)
    rows = []
    for place, each in enumerate(listed, start=1):
        if not isinstance(each, dict):
            raise InputFileError(path, f"{key}[{place}] is no row.", _REMEDY)
        row: dict[str, Any] = {}
        for name, kind in columns.items():
            value = each.get(name)
            if kind is float and value is None and key == "correlations":
                value = 0.0
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            limit = 1.0 if name == "correlation" else float("inf")
            if kind is float and not (is_number and abs(float(value or 0.0)) <= limit):
                raise InputFileError(
                    path, f"{key}[{place}].{name} is {str(value)[:40]}, not a number.", _REMEDY
                )
            if kind is float and name == "sd" and not 0.0 <= float(value) < float("inf"):
                raise InputFileError(path, f"{key}[{place}].sd is {value}, not an SD.", _REMEDY)
            if kind is str and not isinstance(value, str):
                raise InputFileError(path, f"{key}[{place}].{name} is not text.", _REMEDY)
            row[name] = float(value) if kind is float else value
        rows.append(row)
    return rows


def _is_group(label: str, name: str) -> bool:
    """Return whether a label is that of a group; a second bar of one group is labelled ``group.1``."""
    return label == name or (label.startswith(f"{name}.") and label[len(name) + 1 :].isdigit())


def _correlation(pairs: Sequence[Mapping[str, Any]], name: str, terms: set[str]) -> float:
    return next(
        (
            float(each["correlation"])
            for each in pairs
            if _is_group(each["group"], name) and {each["term_1"], each["term_2"]} == terms
        ),
        0.0,
    )


def _groups(document: Mapping[str, Any]) -> dict[str, int]:
    info = document.get("info")
    groups = info.get("groups") if isinstance(info, dict) else None
    if not isinstance(groups, dict):
        return {}
    return {str(name): count for name, count in groups.items() if isinstance(count, int) and count > 0}
