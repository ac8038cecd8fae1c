"""What a run made: where it is, and what it says, in words and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nwbswitch.analysis.runs.freezing import PlanStatus
from nwbswitch.analysis.runs.run_comparison import Comparison
from nwbswitch.schemas.issues import Issue, has_errors


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """A model of the plan: its question and what came out, or why there is nothing."""

    name: str
    question: str
    text: str
    problem: str = ""


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished run.

    Attributes
    ----------
    out
        Folder of the results.
    report
        The page to read first; None when there are models only.
    status
        Whether the plan was frozen.
    sentences
        What each data set says, by name; and of several the answer to whether it replicates under "".
    models
        Answers of the models.
    issues
        Findings about recordings.
    record
        The record, from which the run is repeated.
    comparison
        How it differs from the record that it repeats; None when it repeats none.
    """

    out: Path
    report: Path | None
    status: PlanStatus
    sentences: Mapping[str, str]
    models: tuple[ModelAnswer, ...]
    issues: tuple[Issue, ...]
    record: Mapping[str, Any]
    comparison: Comparison | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing failed, and a repeated run gave the same numbers."""
        failed = any(each.problem for each in self.models)
        return not (has_errors(self.issues) or failed or (self.comparison and not self.comparison.same))

    def summary(self) -> str:
        """Return the result in words."""
        lines = [self.sentences[""]] if "" in self.sentences else []
        lines += [f"{name}: {text}" for name, text in self.sentences.items() if name]
        for each in self.models:
            lines += [f"Model {each.name}" + (f": {each.question}" if each.question else ""), each.text]
            lines += [f"The model {each.name} is not there: {each.problem}"] if each.problem else []
        lines.append(self.status.sentence)
        if self.comparison is not None:
            lines.append(self.comparison.summary())
        lines.append(str(self.report or self.out))
        return "\n".join(line for line in lines if line)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "out": str(self.out),
            "report": None if self.report is None else str(self.report),
            "plan": self.status.as_dict(),
            "sentences": dict(self.sentences),
            "models": [{"name": each.name, "problem": each.problem or None} for each in self.models],
            "issues": [each.as_dict() for each in self.issues],
            "comparison": None if self.comparison is None else self.comparison.as_dict(),
        }
