"""Freezing a plan: its digest and text, kept before anybody knows the result.

The frozen plan stands beside the plan, as ``analysis.frozen.json``. The time in it is that of this
computer; who must convince others deposits the digest elsewhere, e.g. in a registry of studies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from nwbswitch.analysis.runs.plan_places import placed
from nwbswitch.schemas.analysis_plan import AnalysisPlan, changes, load_plan
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError
from nwbswitch.schemas.files import digest, sha256_file, write_json
from nwbswitch.schemas.version import __version__

SUFFIX = ".frozen.json"
MAX_BYTES = 5_000_000
Status = Literal["frozen", "changed", "never"]


@dataclass(frozen=True, slots=True)
class PlanStatus:
    """Whether a plan is as it was frozen.

    Attributes
    ----------
    status
        ``frozen``, ``changed`` since it was frozen, or ``never`` frozen.
    frozen_at
        When, UTC, ISO 8601; empty when never.
    digest
        Of the plan as it is now, with the content of the overrides it names.
    changes
        What changed, in words.
    earlier
        When it was frozen before, in other forms.
    """

    status: Status
    frozen_at: str
    digest: str
    changes: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The status in words, for reports."""
        before = (
            f" It was frozen before, in other forms, on {', '.join(self.earlier)}." if self.earlier else ""
        )
        match self.status:
            case "frozen":
                return f"The plan was frozen on {self.frozen_at} and is unchanged.{before}"
            case "changed":
                listed = "; ".join(self.changes)
                return f"The plan was changed since it was frozen on {self.frozen_at}: {listed}.{before}"
            case "never":
                return "The plan was never frozen."

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "status": self.status,
            "frozen_at": self.frozen_at or None,
            "digest": self.digest,
            "changes": list(self.changes),
            "earlier": list(self.earlier),
        }


def frozen_file(plan: Path) -> Path:
    """Return the file that holds the frozen form of a plan."""
    return plan.with_name(plan.stem + SUFFIX)


def freeze(plan: Path | str, *, overwrite: bool = False) -> PlanStatus:
    """Freeze a plan: write its digest and content beside it.

    A plan that is frozen already and unchanged is left as it is.

    Parameters
    ----------
    plan
        The plan, a YAML file.
    overwrite
        Freeze a changed plan anew; the earlier digests and times stay in the file.

    Raises
    ------
    ExistingOutputError
        If the plan was frozen, changed since, and ``overwrite`` is false.
    StudyError
        If the plan has mistakes.
    """
    file = Path(plan)
    stated = _stated(load_plan(file), file.parent)
    target = frozen_file(file)
    earlier: list[dict[str, str]] = []
    if target.exists():
        held = _read(target)
        if held["digest"] == digest(stated):
            return plan_status(file)
        if not overwrite:
            listed = "; ".join(changes(held["plan"], stated))
            problem = f"{target} holds another plan, frozen on {held['frozen_at']} ({listed})."
            raise ExistingOutputError(
                f"{problem} --overwrite freezes the plan anew and keeps that in the file."
            )
        earlier = [*held["earlier"], {name: held[name] for name in ("digest", "frozen_at")}]
    now = datetime.now(UTC).isoformat(timespec="seconds")
    content = {
        "digest": digest(stated),
        "frozen_at": now,
        "nwbswitch": __version__,
        "plan": stated,
        "earlier": earlier,
    }
    write_json(target, content)
    return plan_status(file)


def plan_status(plan: Path | str) -> PlanStatus:
    """Return whether a plan is as it was frozen.

    Raises
    ------
    StudyError
        If the plan has mistakes.
    InputFileError
        If the frozen form is damaged.
    """
    file = Path(plan)
    return status_of(load_plan(file), file)


def recorded_status(held: Any, plan: AnalysisPlan, base: Path) -> PlanStatus:
    """Return the status that a record keeps of its plan; only a plan that is still that one is frozen.

    Parameters
    ----------
    held
        ``plan_status`` of the record.
    plan
        The plan in the record.
    base
        Folder that its files of overrides are relative to.
    """
    own = digest(_stated(plan, base))
    match held:
        case {"status": "frozen" | "changed" as status, "frozen_at": str(when), "digest": str(then)}:
            changed = held.get("changes")
            words = tuple(str(each) for each in changed) if isinstance(changed, list) else ()
            if then != own:
                words = (*words, "the record's plan, or its overrides, are others than when it ran")
            return PlanStatus("changed" if words else status, when, own, words)
    return PlanStatus("never", "", own)


def status_of(plan: AnalysisPlan, file: Path) -> PlanStatus:
    """Return the same for a plan that was read from ``file``."""
    stated = _stated(plan, file.parent)
    target = frozen_file(file)
    own = digest(stated)
    if not target.exists():
        return PlanStatus("never", "", own)
    held = _read(target)
    when = held["frozen_at"]
    earlier = tuple(each["frozen_at"] for each in held["earlier"])
    if held["digest"] == own:
        return PlanStatus("frozen", when, own, (), earlier)
    return PlanStatus("changed", when, own, tuple(changes(held["plan"], stated)), earlier)


def _stated(plan: AnalysisPlan, base: Path) -> dict[str, Any]:
    """Return all that the plan states, with the digests of the files of overrides."""
    return {**plan.as_dict(), "overrides_digests": overrides_digests(plan, base)}


def overrides_digests(plan: AnalysisPlan, base: Path) -> dict[str, str]:
    """Return the digest of each file of overrides, by its name in the plan.

    Raises
    ------
    InputFileError
        If one is not there.
    """
    named = [each.overrides for each in plan.studies if each.overrides]
    found = {}
    for name in named:
        try:
            found[name] = sha256_file(placed(name, base, what="overrides"))
        except InputFileError as error:
            remedy = "The plan names it as overrides, relative to the plan."
            raise InputFileError(error.path, error.problem, remedy) from error
    return found


def _read(path: Path) -> dict[str, Any]:
    problem = "is no frozen plan of ours, or damaged."
    remedy = "Remove it and freeze the plan again."
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InputFileError(path, problem, remedy)
        held = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputFileError(path, problem, remedy) from error
    if not (isinstance(held, Mapping) and isinstance(held.get("plan"), dict)):
        raise InputFileError(path, problem, remedy)
    times = [held.get("frozen_at"), held.get("digest")]
    earlier = held.get("earlier")
    known = isinstance(earlier, list) and all(
        isinstance(each, dict) and {"digest", "frozen_at"} <= set(each) for each in earlier
    )
    if not (known and all(isinstance(each, str) for each in times)):
        raise InputFileError(path, problem, remedy)
    if held["digest"] != digest(held["plan"]):
        raise InputFileError(
            path, "was changed after it was written: its digest is not that of its plan.", remedy
        )
    return dict(held)
