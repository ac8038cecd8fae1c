"""The answer of `find` as tables, text and JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwbswitch.analysis.catalogue.answers import Answers, Arm, Hit, modalities, neurons
from nwbswitch.analysis.catalogue.coverage import Coverage
from nwbswitch.analysis.catalogue.filters import Filters
from nwbswitch.analysis.catalogue.modalities import to_words
from nwbswitch.analysis.catalogue.next_steps import NextStep
from nwbswitch.analysis.catalogue.readiness import Readiness
from nwbswitch.schemas.issues import Issue, has_errors

if TYPE_CHECKING:
    import pandas as pd

ASSET_COLUMNS = (
    "dandiset", "version", "path", "asset_id", "drug", "role", "dose", "dose_unit", "route", "time_s",
    "evidence", "confidence", "subject", "session", "n_neurons", "modality", "region", "pseudo", "estimable",
    "why_not", "why_not_words",
)  # fmt: skip
DANDISET_COLUMNS = (
    "dandiset", "version", "name", "drug", "animals", "usable_animals", "recordings", "neurons", "doses",
    "routes", "controls", "pseudo", "estimable", "why_not", "why_not_words", "evidence", "files",
    "files_read", "next",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FindResult:
    """Which recordings hold a drug, and whether the switch can be estimated from them."""

    filters: Filters
    answers: Answers
    coverage: Coverage
    steps: tuple[NextStep, ...]
    """What would be next, for each entry of ``answers.arms``."""
    issues: tuple[Issue, ...] = ()
    out: Path | None = None

    @property
    def ok(self) -> bool:
        """Whether everything could be asked for that had to be."""
        return not has_errors(self.issues)

    @property
    def assets(self) -> pd.DataFrame:
        """One row per recording and administration, columns `ASSET_COLUMNS`."""
        import pandas as pd

        rows = [_asset_row(each) for each in self.answers.hits]
        return pd.DataFrame(rows, columns=list(ASSET_COLUMNS))

    @property
    def dandisets(self) -> pd.DataFrame:
        """One row per dandiset and drug, columns `DANDISET_COLUMNS`."""
        import pandas as pd

        rows = [_arm_row(arm, step) for arm, step in zip(self.answers.arms, self.steps, strict=True)]
        return pd.DataFrame(rows, columns=list(DANDISET_COLUMNS))

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        arms = zip(self.answers.arms, self.steps, strict=True)
        return {
            "question": self.filters.as_dict(),
            "dandisets": [_arm_row(arm, step) | {"overrides": step.overrides} for arm, step in arms],
            "assets": [_asset_row(each) for each in self.answers.hits],
            "looked_into": self.coverage.as_dict(),
            "issues": [each.as_dict() for each in self.issues],
        }

    def summary(self) -> str:
        """Return the answer as text of at most 100 columns."""
        from nwbswitch.analysis.catalogue.find_text import find_text

        return find_text(self)


def _asset_row(hit: Hit) -> dict[str, Any]:
    recording, given, facts = hit.recording, hit.given, hit.recording.facts
    values = (
        recording.dandiset,
        recording.version,
        recording.path,
        recording.asset_id,
        hit.drug,
        given.role.value if given else "",
        given.dose if given else None,
        given.dose_unit if given else "",
        given.route if given else "",
        given.time_s if given else None,
        hit.evidence,
        hit.confidence.value,
        recording.animal,
        (facts.session_id if facts else "") or recording.session_id,
        neurons(facts) if facts else None,
        to_words(modalities(recording)).replace(" ", "+"),
        "+".join(facts.regions) if facts else "",
        hit.readiness.pseudo,
        hit.readiness.estimable,
        codes(hit.readiness),
        words(hit.readiness),
    )
    return dict(zip(ASSET_COLUMNS, values, strict=True))


def _arm_row(arm: Arm, step: NextStep) -> dict[str, Any]:
    given = [each.given for each in arm.hits if each.given]
    cited = [f"{each.place}: {each.quote}" for each in arm.mentions]
    values = (
        arm.dandiset,
        " ".join(arm.versions),
        arm.name,
        arm.drug,
        len(arm.animals),
        len(arm.usable_animals),
        arm.n_recordings,
        arm.n_neurons,
        _listed([f"{each.dose:g} {each.dose_unit}".strip() for each in given if each.dose is not None]),
        _listed([each.route for each in given if each.route]),
        ", ".join(f"{name} ({n_animals})" for name, n_animals in arm.controls),
        arm.readiness.pseudo,
        arm.readiness.estimable,
        codes(arm.readiness),
        words(arm.readiness),
        cited[0] if cited else next((each.evidence for each in arm.hits), ""),
        arm.n_files,
        arm.n_read,
        step.command,
    )
    return dict(zip(DANDISET_COLUMNS, values, strict=True))


def codes(readiness: Readiness) -> str:
    """Return the codes of what stands against an estimate, separated by spaces."""
    return " ".join(each.code for each in readiness.reasons)


def words(readiness: Readiness) -> str:
    """Return what stands against an estimate in plain words."""
    return "; ".join(each.words for each in readiness.reasons)


def _listed(values: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(values))
