"""The default test of yes/no outcomes: one empirical logit for each animal, compared between arms.

An animal's counts are summed over its sessions, and z = log{(yes + 1/2) / (no + 1/2)} (Cox 1970, The Analysis
of Binary Data, section 3.2) is finite also where all neurons did the same. The animal is the unit, so
nothing has to be assumed about neurons and sessions inside it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import pandas as pd

from nwbswitch.analysis.fit_text import number_text
from nwbswitch.analysis.formulas.coding import Coded
from nwbswitch.analysis.formulas.formula import Variable, read_formula
from nwbswitch.analysis.glmm.data import CompleteRows, complete_count_rows, counts_of
from nwbswitch.analysis.inference.wald import WaldInference
from nwbswitch.analysis.mixed.coefficient import LEVEL
from nwbswitch.analysis.mixed.result_tables import table_text
from nwbswitch.analysis.plain_values import plain
from nwbswitch.analysis.verdicts.pooling import permutation_p, relabelled_totals, sign_flip
from nwbswitch.schemas.errors import FitError, FormulaError

LogitMethod = Literal["t", "permutation"]
CORRECTION: Final = 0.5


@dataclass(frozen=True, slots=True)
class AnimalLogit:
    """One animal in one arm: its counts and empirical logit."""

    animal: str
    arm: str
    yes: int
    no: int
    logit: float


@dataclass(frozen=True, slots=True)
class AnimalLogitTest:
    """Difference of mean empirical logits, second arm minus first.

    ``p`` is that of ``method``; ``t`` (Student's, equal variances, or paired) and ``p_t``, and
    ``p_permutation`` (exact while the arrangements can be listed) are both kept. A permutation P is not a
    number when so few animals could not reach 5 %.
    """

    arms: tuple[str, str]
    paired: bool
    method: LogitMethod
    estimate: float
    se: float
    df: float
    t: float
    p: float
    ci_low: float
    ci_high: float
    p_t: float
    p_permutation: float
    animals: tuple[AnimalLogit, ...]
    n: int
    n_missing: int
    n_excluded: int
    n_unpaired: int

    def table(self) -> pd.DataFrame:
        """Return the comparison as one row: term, estimate, se, df, t, p, ci_low, ci_high, p_permutation."""
        term = f"{self.arms[1]} - {self.arms[0]}"
        names = ("estimate", "se", "df", "t", "p", "ci_low", "ci_high", "p_permutation")
        return pd.DataFrame([{"term": term, **{name: getattr(self, name) for name in names}}])

    def odds_ratio(self) -> tuple[float, float, float]:
        """Return the ratio of typical odds and its 95 % interval."""
        low, mid, high = np.exp([self.ci_low, self.estimate, self.ci_high])
        return float(mid), float(low), float(high)

    def by_animal(self) -> pd.DataFrame:
        """Return the animals: animal, arm, yes, no, logit."""
        return pd.DataFrame([asdict(each) for each in self.animals])

    def as_dict(self) -> dict[str, Any]:
        """Return the test as plain JSON values; what is not a finite number is None."""
        found: dict[str, Any] = plain(asdict(self))
        return found

    def summary(self) -> str:
        """Return the test as text for people."""
        counts = [
            f"{arm} {len({each.animal for each in self.animals if each.arm == arm})}" for arm in self.arms
        ]
        kind = "paired within animals" if self.paired else "between animals"
        ratio, low, high = self.odds_ratio()
        lines = [
            f"Empirical logits of animals, {kind}: {', '.join(counts)} animals",
            f"  {self.n} rows, {self.n_missing} with missing values left out, {self.n_excluded} excluded",
            *(f"  {line}" for line in table_text(self.table()).splitlines()),
            f"  odds ratio {number_text(ratio, digits=4)} [{number_text(low, digits=4)}, "
            f"{number_text(high, digits=4)}]; P is that of {self.method}",
        ]
        if self.n_unpaired:
            lines.append(f"Warning: {self.n_unpaired} animals seen in one arm only were left out.")
        if np.isnan(self.p_permutation):
            lines.append("Warning: too few animals for a permutation test to reach 5 %.")
        return "\n".join(lines)


def animal_logit_test(
    data: Any,
    formula: str,
    *,
    animal: str,
    trials: str | None = None,
    where: str | None = None,
    method: LogitMethod = "t",
    seed: int = 0,
) -> AnimalLogitTest:
    """Compare two arms by one empirical logit per animal (and arm).

    Arms between animals give Student's two-sample t and a permutation of labels; animals seen in both arms a
    paired t and sign flips, and animals seen in one arm only are then left out and counted.

    Parameters
    ----------
    data
        Table or path of one, as in `fit_binomial`, one row per neuron or per session; it is not changed.
    formula
        ``cbind(yes, no) ~ arm``; the left side as in `fit_binomial`, the right side one factor of two levels.
    animal
        Column of the animals.
    trials
        Column of denominators when the response is a proportion.
    where
        Condition that selects rows.
    method
        Whose P is reported as ``p``: ``t`` or ``permutation``.
    seed
        Of permutations that are too many to list.

    Raises
    ------
    FormulaError
        If the formula is of another form or a column is unknown.
    FitError
        If counts are none, arms are not two, or there are fewer than two animals to compare.
    """
    if method not in get_args(LogitMethod):
        raise ValueError(f"method is {method!r}; available are {', '.join(get_args(LogitMethod))}.")
    parsed = read_formula(formula, bars=False, cbind=True)
    effects = [term for term in parsed.fixed if term]
    if len(effects) != 1 or len(effects[0]) != 1:
        raise FormulaError(f"The formula {formula!r} must have one factor on the right side, e.g. ~ arm.")
    asked = [parsed.response]
    asked += [parsed.failures] if parsed.failures is not None else []
    asked += [Variable(trials, f"`{trials}`")] if trials is not None else []
    factor = parsed.variables[effects[0][0]]
    grouping = [Variable(animal, f"`{animal}`", True), Variable(factor.name, factor.code, True)]
    found = complete_count_rows(data, parsed, where=where, responses=[*asked, *grouping])
    *answers, animals, arms = found.responses
    rows = CompleteRows({}, tuple(answers), found.positions, found.n_excluded, found.n_missing)
    yes, total = counts_of(rows, has_trials=trials is not None)
    if len(arms.levels) != 2:
        raise FitError(
            f"{factor.name!r} has {len(arms.levels)} values ({', '.join(arms.levels)[:80]}); two arms are "
            "compared. Choose two with a condition (where)."
        )
    each = _animal_logits(animals, arms, yes, total)
    return _compared(each, arms.levels, method, seed, rows)


def _animal_logits(
    animals: Coded, arms: Coded, yes: np.ndarray, total: np.ndarray
) -> tuple[AnimalLogit, ...]:
    assert animals.codes is not None
    assert arms.codes is not None
    key = animals.codes * 2 + arms.codes
    size = 2 * len(animals.levels)
    hits, trials = np.bincount(key, yes, minlength=size), np.bincount(key, total, minlength=size)
    misses = trials - hits
    logits = np.log((hits + CORRECTION) / (misses + CORRECTION))
    return tuple(
        AnimalLogit(
            animals.levels[cell // 2], arms.levels[cell % 2], int(hits[cell]), int(misses[cell]), logits[cell]
        )
        for cell in np.flatnonzero(trials > 0.0).tolist()
    )


def _compared(
    animals: tuple[AnimalLogit, ...],
    arms: tuple[str, ...],
    method: LogitMethod,
    seed: int,
    rows: CompleteRows,
) -> AnimalLogitTest:
    logits = [{each.animal: each.logit for each in animals if each.arm == arm} for arm in arms]
    shared = [name for name in logits[0] if name in logits[1]]
    n_unpaired = 0
    if shared:
        n_unpaired = len(logits[0]) + len(logits[1]) - 2 * len(shared)
        difference = np.array([logits[1][name] - logits[0][name] for name in shared])
        _check_enough(len(difference), "animals seen in both arms")
        estimate, df = float(difference.mean()), len(difference) - 1.0
        variance = float(difference.var(ddof=1)) / len(difference)
        permutation = sign_flip(difference, seed=seed)
        animals = tuple(each for each in animals if each.animal in shared)
    else:
        one, two = (np.array(list(each.values())) for each in logits)
        for values, arm in ((one, arms[0]), (two, arms[1])):
            _check_enough(len(values), f"animals in {arm!r}")
        estimate, df = float(two.mean() - one.mean()), len(one) + len(two) - 2.0
        squares = float(np.sum((one - one.mean()) ** 2) + np.sum((two - two.mean()) ** 2))
        variance = squares / df * (1.0 / len(one) + 1.0 / len(two))
        sums = [np.stack([each, np.ones(len(each))], axis=1)[:, None] for each in (one, two)]
        permutation = permutation_p(_difference_of_means, relabelled_totals(*sums, seed=seed))
    if not variance > 0.0:
        raise FitError("All animals of an arm have the same logit, so their scatter is not known.")
    inference = WaldInference(
        np.array([estimate]), np.array([[variance]]), np.array([df]), "clusters", np.eye(1)
    )
    row = inference.coefficients(("difference",), level=LEVEL)[0]
    return AnimalLogitTest(
        (arms[0], arms[1]),
        bool(shared),
        method,
        estimate,
        row.se,
        df,
        row.t,
        row.p if method == "t" else permutation,
        row.ci_low,
        row.ci_high,
        row.p,
        permutation,
        animals,
        len(rows.positions),
        rows.n_missing,
        rows.n_excluded,
        n_unpaired,
    )


def _difference_of_means(totals: np.ndarray) -> np.ndarray:
    return np.asarray(totals[..., 1, 0] / totals[..., 1, 1] - totals[..., 0, 0] / totals[..., 0, 1])


def _check_enough(n: int, what: str) -> None:
    if n < 2:
        raise FitError(f"There is {n} of {what}; at least two are needed to know their scatter.")
