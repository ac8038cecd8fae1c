"""What would be next with the recordings of a dandiset: a command, and lines that settle what is open."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from nwbswitch.analysis.catalogue.answers import Arm, Hit
from nwbswitch.analysis.catalogue.readiness import PlannedWindows

MAX_ENTRIES = 20
"""Files that are named in the lines for the overrides; the others are like them."""
_ASKED = frozenset(("time-unknown", "drug-unresolved", "drug-not-in-file"))


@dataclass(frozen=True, slots=True)
class NextStep:
    """What to do next."""

    command: str
    """Empty where nothing can be measured yet."""
    overrides: str
    """YAML for the file that the command names; empty where none is needed."""


def next_step(arm: Arm, *, instance: str) -> NextStep:
    """Return what would be next with a dandiset: measure it, or state first what its files leave open.

    Parameters
    ----------
    arm
        The recordings of one dandiset and drug.
    instance
        The archive, as it was asked for.
    """
    usable = [each for each in arm.hits if each.readiness.estimable]
    asked = [each for each in arm.hits if _ASKED & {reason.code for reason in each.readiness.reasons}]
    # Of what else is open, measure says the lines that settle it.
    unsettled = [
        each for each in arm.hits if "unsettled" in {reason.code for reason in each.readiness.reasons}
    ]
    overrides = _overrides(usable, asked)
    if not (usable or asked or unsettled):
        return NextStep("", "")
    versions = {each.recording.version for each in usable or asked or unsettled}
    sources = [f"dandi:{arm.dandiset}@{version}" for version in sorted(versions)]
    # A folder of its own: tables of clocks and estimates lie beside the cells.
    parts = ["nwbswitch", "measure", *sources, "-o", f"{arm.dandiset}/cells.parquet"]
    if instance != "dandi":
        parts += ["--instance", instance]
    if overrides:
        parts += ["--overrides", overrides_file(arm)]
    return NextStep(shlex.join(parts), overrides)


def overrides_file(arm: Arm) -> str:
    """Return the name that the command has for the file of overrides."""
    return f"{arm.dandiset}_overrides.yaml"


def _overrides(usable: Iterable[Hit], asked: Iterable[Hit]) -> str:
    import yaml

    planned = [each.readiness.windows for each in usable if each.readiness.windows is not None]
    document: dict[str, Any] = {}
    if planned:
        document["defaults"] = {"windows": _windows(planned)}
    entries = [_entry(each) for each in asked][:MAX_ENTRIES]
    if entries:
        document["sources"] = entries
    if not document:
        return ""
    return str(yaml.safe_dump(document, sort_keys=False, default_flow_style=None, width=100))


def _windows(planned: list[PlannedWindows]) -> list[dict[str, Any]]:
    """Return windows that fit into every recording that lacks them."""
    gap_s = min(each.gap_s for each in planned)
    length_s = min(each.length_s for each in planned)
    lag_s = length_s + 2 * gap_s
    windows = [("baseline", -gap_s - length_s), ("drug", gap_s)]
    if all(each.has_pseudo for each in planned):
        windows += [("pseudo_baseline", -gap_s - length_s - lag_s), ("pseudo_drug", -gap_s - length_s)]
    return [
        {
            "window": window,
            "start_s": start_s,
            "stop_s": start_s + length_s,
            "relative_to": "administration",
        }
        for window, start_s in windows
    ]


def _entry(hit: Hit) -> dict[str, Any]:
    import glob

    from nwbswitch.schemas.overrides import FILL_IN

    given = hit.given
    stated: dict[str, Any] = {"timestamp_s": FILL_IN, "substance": hit.drug}
    if given is not None and given.dose is not None:
        stated |= {"dose": given.dose, "dose_unit": given.dose_unit}
    if given is not None and given.route:
        stated["route"] = given.route
    name = f"{hit.recording.dandiset}@{hit.recording.version}/{hit.recording.path}"
    return {"match": f"*{glob.escape(name)}", "administrations": [stated]}
