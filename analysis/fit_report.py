"""A fit with the answers to the questions asked of it, as text, tables and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from nwbswitch.analysis.glmm.result import BinomialFit
from nwbswitch.analysis.inference.anova import AnovaType
from nwbswitch.analysis.mixed.mixed_text import headed
from nwbswitch.analysis.mixed.result import MixedFit
from nwbswitch.analysis.mixed.result_tables import Format
from nwbswitch.analysis.plain_values import plain


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: its key in JSON, a title, its table, its JSON value and sentences to read with it.

    ``level`` is the coverage of intervals in the table.
    """

    name: str
    title: str
    table: pd.DataFrame
    value: Any
    notes: tuple[str, ...] = ()
    level: float = 0.95


@dataclass(frozen=True, slots=True)
class FitReport:
    """A fit and its answers; JSON is that of the fit with one more key per answer.

    ``anova`` is the type of the tests of terms.
    """

    fit: MixedFit | BinomialFit
    answers: tuple[Answer, ...] = ()
    anova: AnovaType = "III"

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        own = self.fit.as_dict(anova=self.anova) if isinstance(self.fit, MixedFit) else self.fit.as_dict()
        return {**own, **{each.name: plain(each.value) for each in self.answers}}

    def summary(self, *, format: Format = "text") -> str:  # noqa: A002
        """Return text for people, or tables in Markdown or LaTeX (with the package booktabs)."""
        comment = "% " if format == "latex" else ""
        parts = [self._fit_text(format)]
        for each in self.answers:
            parts.append(headed(each.title, each.table, format=format, level=each.level))
            parts += [f"{comment}{note}" for note in each.notes]
        return "\n\n".join(parts)

    def _fit_text(self, format: Format) -> str:  # noqa: A002
        match self.fit, format:
            case MixedFit(), "text":
                return self.fit.summary(anova=self.anova)
            case MixedFit(), "markdown":
                return self.fit.to_markdown(anova=self.anova)
            case MixedFit(), "latex":
                return self.fit.to_latex(anova=self.anova)
            case BinomialFit(), "text":
                return self.fit.summary()
            case _:
                tables = {
                    "Fixed effects (log odds)": self.fit.table(),
                    "Random effects (log odds)": self.fit.random(),
                }
                return "\n\n".join(headed(name, own, format=format) for name, own in tables.items())
