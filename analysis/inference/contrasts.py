"""Contrasts of marginal means: differences, differences of differences, and any others (as emmeans)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import pandas as pd

from nwbswitch.analysis.inference.hypothesis import FixedEffects, FTest, TTest, independent_rows
from nwbswitch.analysis.inference.marginal_means import MarginalMeans, estimates_table
from nwbswitch.analysis.inference.multiplicity import MAX_MVT, Adjust, check_adjust
from nwbswitch.analysis.inference.reference_grid import Value
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.plain_values import plain
from nwbswitch.schemas.issues import nearest

ContrastMethod = Literal["pairwise", "revpairwise", "trt.vs.ctrl", "eff", "consec", "poly"]
Coefficients = Mapping[str, Sequence[float]]
# What emmeans corrects with; "mvt" where it approximates Dunnett's distribution.
DEFAULT_ADJUST: Final[Mapping[str, Adjust]] = {
    "pairwise": "tukey",
    "revpairwise": "tukey",
    "trt.vs.ctrl": "mvt",
    "eff": "fdr",
    "consec": "mvt",
    "poly": "none",
}
_DEGREES: Final = ("linear", "quadratic", "cubic", "quartic")
# Differences of a factor with more levels than this are too many to read.
MAX_CONTRASTS: Final = 5_000


@dataclass(frozen=True, slots=True, repr=False)
class Contrasts:
    """Contrasts, each with its estimate and test.

    ``labels`` has one value per name of ``columns`` (the contrast, or one per factor of an interaction,
    then ``by``); ``linear`` (contrasts, p) gives them as combinations of the fixed effects. P values and
    intervals are corrected by ``adjust`` within each of ``groups``.
    """

    columns: tuple[str, ...]
    labels: tuple[tuple[Value, ...], ...]
    linear: np.ndarray
    tests: tuple[TTest, ...]
    groups: tuple[np.ndarray, ...]
    inference: FixedEffects
    adjust: Adjust
    n_means: int
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return self.summary()

    def table(self, *, level: float = 0.95, adjust: Adjust | None = None) -> pd.DataFrame:
        """Return the labels, estimate, se, df, ci_low, ci_high, t, p.

        Parameters
        ----------
        level
            Coverage of the intervals, of those in one group together unless ``adjust`` is ``none``.
        adjust
            Another correction than that of the contrasts.
        """
        tests = estimates_table(
            self.tests,
            self.linear,
            self.groups,
            self.inference,
            level=level,
            adjust=self.adjust if adjust is None else adjust,
            quantity="estimate",
            n_means=self.n_means,
        )
        return pd.concat([pd.DataFrame(list(self.labels), columns=list(self.columns)), tests], axis=1)

    def joint(self) -> tuple[FTest, ...]:
        """Return per group the F test that all its contrasts are zero; dependent ones count once."""
        found = []
        for rows in self.groups:
            own = self.linear[rows]
            found.append(self.inference.f_test(own[independent_rows(own)]))
        return tuple(found)

    def summary(self) -> str:
        """Return the contrasts as text."""
        from nwbswitch.analysis.mixed.result_tables import table_text

        sizes = {len(rows) for rows in self.groups}
        said = ""
        if self.adjust != "none" and sizes != {1}:
            each = f" {sizes.pop()}" if len(sizes) == 1 else ""
            said = f"P values and intervals: {self.adjust} method, families of{each} contrasts."
        return "\n".join([table_text(self.table()), *([said] if said else []), *self.notes])

    def as_dict(self) -> dict[str, Any]:
        """Return the contrasts as plain JSON values."""
        found: dict[str, Any] = plain(
            {
                "adjust": self.adjust,
                "ddf": self.inference.ddf,
                "contrasts": self.table().to_dict("records"),
            }
        )
        return found


def contrasts(
    means: MarginalMeans,
    *,
    method: ContrastMethod | Coefficients = "pairwise",
    reference: Value | None = None,
    adjust: Adjust | None = None,
) -> Contrasts:
    """Return contrasts of marginal means, or of slopes, within each group of ``by``.

    Parameters
    ----------
    means
        The means.
    method
        ``pairwise`` (and ``revpairwise``), ``trt.vs.ctrl`` (all against one), ``eff`` (against their
        mean), ``consec`` (each against the one before), ``poly`` (orthogonal polynomials), or names with
        one coefficient per mean of a group.
    reference
        Level that ``trt.vs.ctrl`` compares with; the first by default.
    adjust
        Correction within each group: by default ``tukey`` for pairs, ``mvt`` for ``trt.vs.ctrl`` and
        ``consec`` (``sidak`` where these are too many for it), ``fdr`` for ``eff``, else ``none``.

    Raises
    ------
    ValueError
        If the method, level or correction does not exist or does not fit, or a contrast is zero.
    """
    groups = means.groups()
    n_means = len(groups[0])
    levels = [_cell_label(means, i) for i in groups[0]]
    rows, names = _coefficients(method, levels, _position(means, reference, method))
    chosen = adjust or _default_adjust(method, len(names))
    linear = np.concatenate([rows @ means.linear[own] for own in groups])
    labels = [(name, *means.cells[own[0]][len(means.specs) :]) for own in groups for name in names]
    pairs = method in ("pairwise", "revpairwise")
    return _tested(
        ("contrast", *means.by),
        labels,
        linear,
        _consecutive(len(groups), len(names)),
        means.inference,
        chosen,
        n_means if pairs else 0,
        means.notes(),
    )


def interaction_contrasts(
    means: MarginalMeans,
    *,
    method: ContrastMethod | Mapping[str, ContrastMethod | Coefficients] = "pairwise",
    adjust: Adjust = "none",
) -> Contrasts:
    """Return contrasts of contrasts: of one factor's contrasts between those of the others.

    With two factors of two levels this is the difference of differences, e.g. drug by epoch.

    Parameters
    ----------
    means
        Means whose ``specs`` are the two or more factors.
    method
        One for all factors, or one per factor; as in `contrasts`.
    adjust
        Correction within each group of ``by``.

    Raises
    ------
    ValueError
        If there are fewer than two factors, or as `contrasts`.
    """
    if len(means.specs) < 2:
        raise ValueError("An interaction needs means of two or more factors in specs.")
    given = dict.fromkeys(means.specs, method) if isinstance(method, str) else dict(method)
    if set(given) != set(means.specs):
        raise ValueError(f"method must name each of {', '.join(means.specs)}, not {', '.join(given)}.")
    groups = means.groups()
    rows = np.ones((1, 1))
    labels: list[tuple[str, ...]] = [()]
    for position, name in enumerate(means.specs):
        values = list(dict.fromkeys(means.cells[i][position] for i in groups[0]))
        own, own_names = _coefficients(given[name], [_label(name, each) for each in values], 0)
        # The first factor varies fastest, as in the cells.
        rows = np.kron(own, rows)
        labels = [(*before, each) for each in own_names for before in labels]
    linear = np.concatenate([rows @ means.linear[own] for own in groups])
    all_labels = [(*each, *means.cells[own[0]][len(means.specs) :]) for own in groups for each in labels]
    columns = tuple(f"{name}_{_method_name(given[name])}" for name in means.specs)
    return _tested(
        (*columns, *means.by),
        all_labels,
        linear,
        _consecutive(len(groups), len(labels)),
        means.inference,
        adjust,
        0,
        means.notes(),
    )


def coefficient_contrasts(
    model: Model,
    inference: FixedEffects,
    weights: Mapping[str, Mapping[str, float]],
    *,
    adjust: Adjust = "none",
) -> Contrasts:
    """Return contrasts of the fixed effects themselves, by the names of the coefficients.

    Parameters
    ----------
    model
        The model.
    inference
        Its fixed effects.
    weights
        Name of a contrast to weights of coefficients, e.g. ``{"late": {"drug": 1, "drug:late": 1}}``.
    adjust
        Correction for several contrasts.

    Raises
    ------
    ValueError
        If a coefficient does not exist, a weight is not finite, or all weights of a contrast are zero.
    """
    if not weights:
        raise ValueError("No contrast is given.")
    linear = np.zeros((len(weights), len(model.names)))
    for row, (label, own) in zip(linear, weights.items(), strict=True):
        for name, weight in own.items():
            if name not in model.names:
                raise ValueError(
                    f"The contrast {label!r} names {name!r}, which is no fixed effect. Fixed effects are "
                    f"{', '.join(model.names[:20])}. {nearest(name, model.names)}".rstrip()
                )
            row[model.names.index(name)] = weight
    labels = [(label,) for label in weights]
    notes = (f"Degrees of freedom: {inference.ddf}.",)
    return _tested(("contrast",), labels, linear, _consecutive(1, len(labels)), inference, adjust, 0, notes)


def _tested(
    columns: tuple[str, ...],
    labels: Sequence[tuple[Value, ...]],
    linear: np.ndarray,
    groups: tuple[np.ndarray, ...],
    inference: FixedEffects,
    adjust: Adjust,
    n_means: int,
    notes: tuple[str, ...],
) -> Contrasts:
    check_adjust(adjust, pairwise=n_means > 0)
    if len(labels) > MAX_CONTRASTS:
        raise ValueError(f"These are {len(labels)} contrasts; at most {MAX_CONTRASTS} are computed.")
    tests = []
    for row, label in zip(linear, labels, strict=True):
        try:
            tests.append(inference.t_test(row))
        except ValueError as error:
            raise ValueError(f"The contrast {' '.join(map(str, label))!r}: {error}") from None
    return Contrasts(columns, tuple(labels), linear, tuple(tests), groups, inference, adjust, n_means, notes)


def _default_adjust(method: ContrastMethod | Coefficients, n_contrasts: int) -> Adjust:
    found = DEFAULT_ADJUST[method] if isinstance(method, str) else "none"
    return "sidak" if found == "mvt" and n_contrasts > MAX_MVT else found


def _consecutive(n_groups: int, size: int) -> tuple[np.ndarray, ...]:
    return tuple(np.arange(first * size, (first + 1) * size) for first in range(n_groups))


def _label(name: str, value: Value) -> str:
    return value if isinstance(value, str) else f"{name}{value:.10g}"


def _cell_label(means: MarginalMeans, position: int) -> str:
    values = means.cells[position][: len(means.specs)]
    return " ".join(_label(name, each) for name, each in zip(means.specs, values, strict=True))


def _method_name(method: ContrastMethod | Coefficients) -> str:
    return method if isinstance(method, str) else "custom"


def _position(means: MarginalMeans, reference: Value | None, method: object) -> int:
    if reference is None:
        return 0
    if method != "trt.vs.ctrl":
        raise ValueError("reference belongs to the method 'trt.vs.ctrl'.")
    levels = [_cell_label(means, i) for i in means.groups()[0]]
    single = [means.cells[i][0] for i in means.groups()[0]] if len(means.specs) == 1 else []
    if reference in single:
        return single.index(reference)
    if str(reference) not in levels:
        raise ValueError(f"reference is {reference!r}; the means are those of {', '.join(levels)}.")
    return levels.index(str(reference))


def _coefficients(
    method: ContrastMethod | Coefficients, levels: Sequence[str], reference: int
) -> tuple[np.ndarray, list[str]]:
    """Return (contrasts, means) coefficients and the contrasts' names."""
    k = len(levels)
    unit = np.eye(k)
    if not isinstance(method, str):
        return _custom(method, k)
    if method not in get_args(ContrastMethod):
        raise ValueError(f"method is {method!r}; available are {', '.join(get_args(ContrastMethod))}.")
    if k < 2:
        raise ValueError(f"There is one mean ({levels[0]}), so there is nothing to compare.")
    match method:
        case "pairwise":
            pairs = [(i, j) for i in range(k) for j in range(i + 1, k)]
        case "revpairwise":
            pairs = [(j, i) for j in range(k) for i in range(j)]
        case "trt.vs.ctrl":
            pairs = [(i, reference) for i in range(k) if i != reference]
        case "consec":
            pairs = [(i + 1, i) for i in range(k - 1)]
        case "eff":
            return unit - 1.0 / k, [f"{level} effect" for level in levels]
        case "poly":
            return _polynomials(k)
    if len(pairs) > MAX_CONTRASTS:
        raise ValueError(f"These are {len(pairs)} contrasts; at most {MAX_CONTRASTS} are computed.")
    rows = np.array([unit[i] - unit[j] for i, j in pairs])
    return rows, [f"{levels[i]} - {levels[j]}" for i, j in pairs]


def _custom(given: Coefficients, k: int) -> tuple[np.ndarray, list[str]]:
    if not given:
        raise ValueError("No contrast is given.")
    for name, row in given.items():
        if np.shape(row) != (k,):
            raise ValueError(f"The contrast {name!r} needs one number for each of the {k} means.")
    return np.array([list(map(float, row)) for row in given.values()]), list(given)


def _polynomials(k: int) -> tuple[np.ndarray, list[str]]:
    """Return orthogonal polynomials in equal steps, up to degree 6, in the smallest whole numbers.

    As Fisher and Yates (1963, table XXIII) print them.
    """
    steps = np.arange(k) - (k - 1) / 2.0
    rows: list[np.ndarray] = []
    for degree in range(1, min(k - 1, 6) + 1):
        row = steps**degree
        for other in [np.ones(k), *rows]:
            row = row - (other @ row) / (other @ other) * other
        rows.append(_whole(row))
    names = [*_DEGREES, "degree 5", "degree 6"]
    return np.array(rows), names[: len(rows)]


def _whole(row: np.ndarray) -> np.ndarray:
    size = np.abs(row)
    scaled = row / size[size > 1e-8 * size.max()].min()
    for factor in range(1, 200):
        if np.abs(factor * scaled - np.rint(factor * scaled)).max() < 1e-6:
            return np.asarray(np.rint(factor * scaled))
    return np.asarray(scaled)
