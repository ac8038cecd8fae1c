"""How much animals, sessions, neurons and single measurements scatter: stated, or read off a pilot fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

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


class _Row(BaseModel):
    # A fit says more than is needed here.
    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False, strict=True)


class _RandomRow(_Row):
    group: str
    term: str
    sd: float = Field(ge=0)


class _CorrelationRow(_Row):
    group: str
    term_1: str
    term_2: str
    correlation: float | None = Field(None, ge=-1, le=1)


class _Info(_Row):
    groups: dict[str, int] = {}


class _Fit(_Row):
    random: list[_RandomRow]
    correlations: list[_CorrelationRow] = []
    info: _Info = _Info()


def components_of_fit(path: Path, *, animal: str, session: str, neuron: str) -> Pilot:
    """Return the components of a fit that ``nwbswitch fit -o`` wrote.

    Intercepts are the terms named ``(Intercept)``. The slope of a group is its one other term without a
    colon; a term with a colon in the animals' group is their response to the drug, or two such terms, one
    per window, whose difference it is.

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
    fit = _read(path)
    residual = [each.sd for each in fit.random if each.group == "Residual"]
    if len(residual) != 1 or residual[0] == 0.0:
        found = f"has {len(residual)} residual variances" if len(residual) != 1 else "has no residual scatter"
        raise InputFileError(path, f"{found}, expected one above 0.", _REMEDY)
    values = {"residual_sd": residual[0]}
    notes: list[str] = []
    for kind, name in (("animal", animal), ("session", session), ("neuron", neuron)):
        own = {each.term: each.sd for each in fit.random if _is_group(each.group, name)}
        if not own:
            notes.append(f"The pilot has no random effect of {name}: its components are taken as 0.")
            continue
        slopes = [term for term in own if term != INTERCEPT and ":" not in term]
        responses = [term for term in own if ":" in term]
        # R codes arm:window without arm by one column per window: the response is their difference.
        is_pair = kind == "animal" and len(responses) == 2
        several = slopes if len(slopes) > 1 else responses if len(responses) > 1 and not is_pair else []
        if several:
            raise InputFileError(
                path,
                f"the group {name!r} has several terms that could be its slope: {', '.join(several)}.",
                "State the components in the design instead of from_fit.",
            )
        values[f"{kind}_{'sd' if kind == 'neuron' else 'intercept_sd'}"] = own.get(INTERCEPT, 0.0)
        if slopes:
            values[f"{kind}_slope_sd"] = own[slopes[0]]
            values[f"{kind}_correlation"] = _correlation(fit, name, {INTERCEPT, slopes[0]})
        if is_pair:
            one, other = own[responses[0]], own[responses[1]]
            shared = 2.0 * _correlation(fit, name, set(responses)) * one * other
            values["animal_response_sd"] = max(one**2 + other**2 - shared, 0.0) ** 0.5
            notes.append(f"animal_response_sd is that of the difference of {' and '.join(responses)}.")
        elif responses and kind == "animal":
            values["animal_response_sd"] = own[responses[0]]
        elif responses:
            notes.append(f"The pilot's {responses[0]} in {name} is left out of the simulation.")
    groups = {name: count for name, count in fit.info.groups.items() if count > 0}
    return Pilot(Components(**values), groups, tuple(notes))


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
    low, high = (float(chi2.ppf(0.5 + side * level / 2.0, df)) for side in (1, -1))
    return sd * (df / low) ** 0.5, sd * (df / high) ** 0.5


_REMEDY: Final = "Give the JSON that nwbswitch fit TABLE --formula F -o pilot.json writes."


def _read(path: Path) -> _Fit:
    try:
        if path.stat().st_size > MAX_FIT_BYTES:
            raise InputFileError(path, f"is larger than {MAX_FIT_BYTES / 1e6:g} MB.", _REMEDY)
        return _Fit.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise InputFileError(path, "no such file.", _REMEDY) from error
    except OSError as error:
        raise InputFileError(path, f"cannot be read ({error.strerror}).", _REMEDY) from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        said = f"{where}: {first['msg']}" if where else str(first["msg"])
        raise InputFileError(path, f"is not the JSON of a fit ({said[:200]}).", _REMEDY) from error


def _is_group(label: str, name: str) -> bool:
    """Return whether a label is that of a group; a second bar of one group is labelled ``group.1``."""
    return label == name or (label.startswith(f"{name}.") and label[len(name) + 1 :].isdigit())


def _correlation(fit: _Fit, name: str, terms: set[str]) -> float:
    for each in fit.correlations:
        if _is_group(each.group, name) and {each.term_1, each.term_2} == terms:
            return each.correlation or 0.0  # undefined where a variance is zero
    return 0.0
