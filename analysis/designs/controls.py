"""Which control an arm is compared with, and in what that control differs from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nwbswitch.schemas.drug_log import Administration

_AT_LAG = " min after injection"
PREFERRED = ("saline", "vehicle")
MAX_VOLUME_RATIO = 2.0
"""Volumes by weight that differ by more are not the same injection."""


def part_at_lag(control: str, low_s: float, high_s: float) -> str:
    """Return what the part of a control from ``low_s`` to ``high_s`` after its injection is called."""
    return f"{control}, {low_s / 60:.3g} to {high_s / 60:.3g}{_AT_LAG}"


def is_part_at_lag(arm: str) -> bool:
    """Return whether an arm is such a part, which is nothing that animals were given."""
    return arm.endswith(_AT_LAG)


def is_control_name(arm: str) -> bool:
    """Return whether an arm is a control by its name alone, for tables that hold no drug log."""
    return arm.split("+")[0].split(" #")[0] in PREFERRED


def reference_of(
    arm: str, rows: Sequence[Administration], controls: Mapping[str, Sequence[Administration]]
) -> str | None:
    """Return the control arm that an arm is compared with, None where there is none.

    A control with further substances is compared with the same control without. For a drug, a control with
    the same further substances comes first, then one that is the drug's vehicle, then one by the same route,
    then saline, then vehicle.

    Parameters
    ----------
    arm, rows
        The arm and what was given in it.
    controls
        What was given in each control arm.
    """
    if arm in controls:
        stem = arm.split("+")[0]
        return stem if stem != arm and stem in controls else None
    if not controls:
        return None
    added = arm.split("+")[1:]
    vehicles = {row.vehicle.lower() for row in rows} - {""}
    routes = {row.route for row in rows} - {""}

    def rank(name: str) -> tuple[bool, bool, bool, int, str]:
        base = name.split("+")[0]
        given = {row.route for row in controls[name]}
        preference = PREFERRED.index(base) if base in PREFERRED else len(PREFERRED)
        return (
            name.split("+")[1:] != added,
            base not in vehicles,
            bool(routes) and not routes & given,
            preference,
            name,
        )

    return min(controls, key=rank)


def differences(rows: Sequence[Administration], control: Sequence[Administration]) -> list[str]:
    """Return in what a control differs from the drug: route, volume by weight, vehicle."""
    found = []
    routes, own = ({row.route for row in each} - {""} for each in (control, rows))
    if routes and own and not routes & own:
        found.append(f"was given {_or(routes)} and not {_or(own)}")
    volumes, others = (_volumes(control), _volumes(rows))
    if volumes and others:
        given, meant = sum(volumes) / len(volumes), sum(others) / len(others)
        if max(given, meant) > MAX_VOLUME_RATIO * min(given, meant):
            found.append(f"has a volume of {given:.3g} mL/kg and not {meant:.3g}")
    vehicles = {row.vehicle.lower() for row in rows} - {""}
    names = {row.substance.lower() for row in control} | ({row.vehicle.lower() for row in control} - {""})
    if vehicles and not vehicles & names and not (vehicles <= _SALINE and names & _SALINE):
        found.append(f"is not what the drug was dissolved in ({_or(vehicles)})")
    return found


_SALINE = {
    "saline",
    "0.9% saline",
    "sterile saline",
    "0.9% nacl",
    "physiological saline",
    "phosphate-buffered saline",
}


def _volumes(rows: Sequence[Administration]) -> list[float]:
    """Return volumes given, mL per kg of body weight."""
    return [
        row.volume_ml / (row.body_weight_g / 1000)
        for row in rows
        if row.volume_ml is not None and row.body_weight_g is not None
    ]


def _or(words: set[str]) -> str:
    return " or ".join(sorted(words))
