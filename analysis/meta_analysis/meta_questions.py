"""What can be asked of a meta-analysis beyond its coefficients, and the answers together."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal

from nwbswitch.analysis.meta_analysis.meta import require_column
from nwbswitch.analysis.meta_analysis.meta_result import MetaFit
from nwbswitch.schemas.errors import FitError

if TYPE_CHECKING:
    import pandas as pd

    from nwbswitch.analysis.meta_analysis.effect_sizes import EffectSizes
    from nwbswitch.analysis.meta_analysis.influence import Influence
    from nwbswitch.analysis.meta_analysis.leave_one_out import Refits
    from nwbswitch.analysis.meta_analysis.multilevel_result import MultilevelFit
    from nwbswitch.analysis.meta_analysis.permutation import PermutationTest
    from nwbswitch.analysis.meta_analysis.robust import RobustMeta
    from nwbswitch.analysis.meta_analysis.small_study import SmallStudy
    from nwbswitch.analysis.meta_analysis.study_effects import StudyEffects

RobustKind = Literal["CR0", "CR1", "CR1p", "CR2"]


@dataclass(frozen=True, slots=True)
class MetaQuestions:
    """What is asked: ``leave_out``, ``cumulative`` and ``cluster`` are names of columns."""

    leave_one_out: bool = False
    leave_out: str | None = None
    cumulative: str | None = None
    influence: bool = False
    small_study: bool = False
    permutation: bool = False
    robust: RobustKind | None = None
    cluster: str | None = None
    seed: int = 0

    def parameters(self) -> dict[str, Any]:
        """Return the questions for a record of the work."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "seed"}

    def of_independent_studies(self) -> list[str]:
        """Return the names of the questions that a multilevel model does not answer."""
        names = ("leave_one_out", "leave_out", "cumulative", "influence", "small_study", "permutation")
        return [name for name in names if getattr(self, name)]


@dataclass(frozen=True, slots=True)
class MetaReport:
    """A meta-analysis, what its effects were computed from, and the answers to the questions.

    ``refused`` maps a question to the reason why it has no answer.
    """

    fit: MetaFit | MultilevelFit
    sizes: EffectSizes | None = None
    effects: StudyEffects | None = None
    robust: RobustMeta | None = None
    leave_one_out: Refits | None = None
    leave_out: Refits | None = None
    cumulative: Refits | None = None
    influence: Influence | None = None
    small_study: SmallStudy | None = None
    permutation: PermutationTest | None = None
    refused: tuple[tuple[str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the fit as plain JSON values, with the answers beside it."""
        found = self.fit.as_dict()
        for name in _PARTS:
            part = getattr(self, name)
            if part is not None:
                found[name] = part.as_dict()
        if self.refused:
            found["refused"] = dict(self.refused)
        return found

    def summary(self) -> str:
        """Return everything as text."""
        parts = [self.sizes, self.fit, *[getattr(self, name) for name in _PARTS if name not in _INPUTS]]
        texts = [part.summary() for part in parts if part is not None]
        if self.effects is not None and len(self.effects.left_out):
            texts.insert(0, self.effects.summary())
        texts += [f"Refused ({name.replace('_', '-')}): {reason}" for name, reason in self.refused]
        return "\n\n".join(texts)


_INPUTS = ("sizes", "effects")
_PARTS = (
    *_INPUTS,
    "robust",
    "leave_one_out",
    "leave_out",
    "cumulative",
    "influence",
    "small_study",
    "permutation",
)


def answered(
    fit: MetaFit | MultilevelFit,
    questions: MetaQuestions,
    *,
    sizes: EffectSizes | None = None,
    effects: StudyEffects | None = None,
    source: pd.DataFrame | None = None,
) -> MetaReport:
    """Return the fit with the answers; what these studies cannot answer has its reason instead.

    ``source`` is the table of a multilevel fit, for a cluster that is none of its random groups.

    Raises
    ------
    ValueError
        For questions that this model does not answer.
    FormulaError
        For a column that is not there.
    """
    if not isinstance(fit, MetaFit):
        asked = questions.of_independent_studies()
        if asked:
            raise ValueError(
                f"{', '.join(asked)}: of independent effects only; leave the random terms out, or ask robust."
            )
        robust = None
        if questions.robust is not None:
            cluster = _multilevel_cluster(fit, questions.cluster, source)
            robust = fit.robust(cluster=cluster, kind=questions.robust)
        return MetaReport(fit, sizes=sizes, effects=effects, robust=robust)
    found: dict[str, Any] = {}
    refused: list[tuple[str, str]] = []
    for name in _PARTS:
        if name in _INPUTS or not getattr(questions, name):
            continue
        try:
            found[name] = _answer(fit, name, questions)
        except FitError as error:
            refused.append((name, str(error)))
    return MetaReport(fit, sizes=sizes, effects=effects, refused=tuple(refused), **found)


def _multilevel_cluster(
    fit: MultilevelFit, name: str | None, source: pd.DataFrame | None
) -> str | list[Any] | None:
    if name is None or source is None or name in [part.group for part in fit.model.frame.parts]:
        return name
    require_column(source, name)
    labels: list[Any] = source[name].iloc[fit.model.frame.rows].tolist()
    return labels


def _answer(fit: MetaFit, name: str, questions: MetaQuestions) -> Any:
    from nwbswitch.analysis.meta_analysis.cumulative import cumulative
    from nwbswitch.analysis.meta_analysis.influence import influence
    from nwbswitch.analysis.meta_analysis.leave_one_out import leave_one_out
    from nwbswitch.analysis.meta_analysis.permutation import permutation_test
    from nwbswitch.analysis.meta_analysis.robust import robust_meta
    from nwbswitch.analysis.meta_analysis.small_study import small_study

    match name:
        case "leave_one_out":
            return leave_one_out(fit)
        case "leave_out":
            return leave_one_out(fit, by=questions.leave_out)
        case "cumulative":
            assert questions.cumulative is not None
            return cumulative(fit, by=questions.cumulative)
        case "influence":
            return influence(fit)
        case "small_study":
            return small_study(fit)
        case "permutation":
            return permutation_test(fit, seed=questions.seed)
        case _:
            if questions.cluster is None:
                raise ValueError("robust needs cluster: the column of what is independent.")
            assert questions.robust is not None
            return robust_meta(fit, cluster=questions.cluster, kind=questions.robust)
