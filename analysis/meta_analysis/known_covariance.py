"""Sampling covariances of effects that are known, or approximated by a stated correlation.

Effects of the same animals have dependent sampling errors: several estimands, windows or cell types of
one study, or several doses against one saline group. V holds their covariance, in which errors of different
clusters are independent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.meta_analysis.meta import require_column
from nwbswitch.analysis.meta_analysis.multilevel_blocks import MAX_NUMBERS
from nwbswitch.schemas.errors import FitError

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Rho = float | Mapping[str, float]


@dataclass(frozen=True, slots=True)
class KnownCovariance:
    """The sampling covariance of the rows of a table, sparse (rows, rows), and how it was found."""

    matrix: csr_array
    info: Mapping[str, Any] = field(default_factory=dict)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.matrix.toarray(), dtype=dtype)

    def __len__(self) -> int:
        return int(self.matrix.shape[0])


def known_covariance(
    effects: pd.DataFrame,
    *,
    variance: str,
    cluster: str,
    rho: Rho | None = None,
    subgroup: str | None = None,
    type: str | None = None,  # noqa: A002
    first: str | None = None,
    second: str | None = None,
    first_size: str | None = None,
    second_size: str | None = None,
) -> KnownCovariance:
    """Return the covariance of the sampling errors of effects, from their variances and correlations.

    Effects i, j of one cluster have the covariance r_ij sqrt(v_i v_j). Without groups r_ij is ``rho``, the
    correlation of different measures of the same animals. With groups effects are differences of two
    groups of animals, and r_ij is the correlation of the measures (1 for one measure) times that of the
    differences, from the groups they share (Gleser and Olkin 2009, in Cooper, Hedges and Valentine,
    Handbook of Research Synthesis, chapter 19): a group that is first of both, or second of both, adds
    (1/n) / sqrt((1/n_1 + 1/n_2) (1/n_1' + 1/n_2')), and one that is first of one and second of the other
    subtracts it.

    Parameters
    ----------
    effects
        One row per effect; it is not changed. The order of rows is that of V.
    variance
        Column with the sampling variances.
    cluster
        Column of what is independent, e.g. ``study``: rows of different clusters have no covariance.
    rho
        Correlation of different measures of the same animals, or with ``type`` that of measures
        ``{"within": ..., "between": ...}`` types. With groups it is that between types.
    subgroup
        Column of animals inside a cluster that do not overlap.
    type
        Column of the kind of measure, e.g. the estimand.
    first, second
        Columns of the groups that are compared, e.g. ``drug_group`` and ``saline_group``.
    first_size, second_size
        Columns of their numbers of animals; the same for all when not given.

    Raises
    ------
    FormulaError
        For a column that is not there.
    FitError
        For a variance or size that is not positive, or a covariance that has no inverse.
    ValueError
        For a correlation outside -1 to 1 or one that is missing, or groups of which one is not given.
    """
    from scipy.sparse import csr_array

    from nwbswitch.analysis.meta_analysis.multilevel_blocks import require_positive_definite, stacks

    if (first is None) != (second is None):
        raise ValueError("Differences need both groups: give first and second, or neither.")
    for name in (variance, cluster, subgroup, type, first, second, first_size, second_size):
        if name is not None:
            require_column(effects, name)
    v = positive_numbers(effects[variance], variance, what="variance")
    within, between = _rho(rho, typed=type is not None, grouped=first is not None)
    cluster_codes = _codes(effects, cluster, subgroup)
    kinds = None if type is None else pd.factorize(effects[type].astype(str))[0]
    groups = None
    if first is not None and second is not None:
        groups = _Groups.of(effects, first, second, first_size, second_size)
    order = np.argsort(cluster_codes, kind="stable")
    sizes = np.bincount(cluster_codes)
    if float(np.sum(sizes.astype(float) ** 2)) > MAX_NUMBERS:
        raise FitError(
            f"The largest cluster of {cluster!r} has {int(sizes.max())} effects; their covariances hold "
            f"more than {MAX_NUMBERS:,} numbers."
        )
    rows, columns, values = [], [], []
    for members in np.split(order, np.cumsum(sizes)[:-1]):
        m = len(members)
        r = np.full((m, m), within)
        if kinds is not None:
            r[kinds[members][:, None] != kinds[members]] = between
        np.fill_diagonal(r, 1.0)
        if groups is not None:
            r *= groups.correlation(members)
        np.fill_diagonal(r, 1.0)
        root = np.sqrt(v[members])
        rows.append(np.repeat(members, m))
        columns.append(np.tile(members, m))
        values.append((r * np.outer(root, root)).ravel())
    n = len(v)
    found = csr_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), shape=(n, n))
    found.eliminate_zeros()
    require_positive_definite(stacks(found, cluster_codes), [f"{row + 1}" for row in range(n)])
    info = {"variance": variance, "cluster": cluster, "rho": rho, "subgroup": subgroup, "type": type}
    info |= {"first": first, "second": second, "n_clusters": len(sizes)}
    return KnownCovariance(found, info)


def _rho(rho: Rho | None, *, typed: bool, grouped: bool) -> tuple[float, float]:
    """Return the correlation of measures of one type, and of different types."""
    if rho is None:
        if typed or not grouped:
            raise ValueError("Give rho, the correlation of different measures of the same animals.")
        return 1.0, 1.0
    if isinstance(rho, Mapping):
        if set(rho) != {"within", "between"} or not typed:
            raise ValueError("rho by type needs the column of types and exactly 'within' and 'between'.")
        found = float(rho["within"]), float(rho["between"])
    elif grouped and not typed:
        raise ValueError("With groups rho is the correlation between types; give the column of types.")
    else:
        found = 1.0 if grouped else float(rho), float(rho)
    for value in (found[1], found[0] if not grouped else 0.0):
        if not -1.0 < value < 1.0:
            raise ValueError(f"rho is {value!r}; a correlation of different effects is between -1 and 1.")
    return found


@dataclass(frozen=True, slots=True)
class _Groups:
    """The groups that differences compare, as codes (rows,), and their shares of the variance."""

    first: np.ndarray
    second: np.ndarray
    first_share: np.ndarray
    second_share: np.ndarray

    @classmethod
    def of(
        cls, effects: pd.DataFrame, first: str, second: str, first_size: str | None, second_size: str | None
    ) -> _Groups:
        both = pd.factorize(pd.concat([effects[first], effects[second]]).astype(str))[0]
        n = len(effects)
        sizes = [
            np.ones(n) if name is None else positive_numbers(effects[name], name, what="size")
            for name in (first_size, second_size)
        ]
        parts = [1.0 / each for each in sizes]
        total = np.sqrt(parts[0] + parts[1])
        # A group's part of the error of a difference: its standard error by that of the difference.
        shares = [np.sqrt(each) / total for each in parts]
        return cls(both[:n], both[n:], shares[0], shares[1])

    def correlation(self, members: np.ndarray) -> np.ndarray:
        """Return the correlation of the differences of these rows, (m, m)."""
        found = np.zeros((len(members), len(members)))
        signed = ((self.first, self.first_share), (self.second, self.second_share))
        for sign, (one, one_share) in zip((1.0, -1.0), signed, strict=True):
            for other_sign, (other, other_share) in zip((1.0, -1.0), signed, strict=True):
                same = one[members][:, None] == other[members]
                found += same * sign * other_sign * np.outer(one_share[members], other_share[members])
        return found


def positive_numbers(values: pd.Series, name: str, *, what: str) -> np.ndarray:
    """Return a column as positive numbers.

    Raises
    ------
    FitError
        If one is not; the message names its row.
    """
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype=np.float64)
    bad = np.flatnonzero(~(np.isfinite(numbers) & (numbers > 0.0)))
    if bad.size:
        label = values.index[bad[0]]
        raise FitError(
            f"The {what} {name!r} is {values.iloc[bad[0]]} in the row {label}; every {what} must be a "
            "positive number."
        )
    return numbers


def _codes(effects: pd.DataFrame, cluster: str, subgroup: str | None) -> np.ndarray:
    parts = [effects[name].astype(str) for name in (cluster, subgroup) if name is not None]
    missing = effects[[name for name in (cluster, subgroup) if name is not None]].isna().any(axis=1)
    if missing.any():
        raise FitError(f"The cluster is missing in the row {missing.index[missing.to_numpy()][0]}.")
    keys = list(zip(*(part.tolist() for part in parts), strict=True))
    return np.asarray(pd.factorize(pd.Index(keys, tupleize_cols=False))[0])


def covariance_of_columns(effects: pd.DataFrame, *, cluster: str, columns: Sequence[str]) -> KnownCovariance:
    """Return the covariance that stands in a table: row j of a cluster holds row j of its block.

    Parameters
    ----------
    effects
        One row per effect; a cluster with m rows uses the first m of ``columns``.
    cluster
        Column of the clusters.
    columns
        Columns of the block, in the order of the rows of a cluster.

    Raises
    ------
    FormulaError
        For a column that is not there.
    FitError
        For a cluster with more rows than columns, or a block that is not symmetric and positive definite.
    """
    from scipy.sparse import csr_array

    from nwbswitch.analysis.meta_analysis.multilevel_blocks import require_positive_definite, stacks

    for name in (cluster, *columns):
        require_column(effects, name)
    codes = _codes(effects, cluster, None)
    numbers = effects[list(columns)].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=float)
    n = len(effects)
    rows, places, values = [], [], []
    for code in range(int(codes.max()) + 1):
        members = np.flatnonzero(codes == code)
        m = len(members)
        label = effects[cluster].iloc[members[0]]
        if m > len(columns):
            raise FitError(f"{cluster} {label} has {m} effects, and V has {len(columns)} columns.")
        block = numbers[members][:, :m]
        if not np.isfinite(block).all() or not np.allclose(block, block.T, rtol=1e-6, atol=0.0):
            raise FitError(
                f"The covariance of {cluster} {label} in {', '.join(columns[:m])} is not symmetric: row j of "
                "a cluster must hold the covariances of its effect j with all of them, in the order of rows."
            )
        rows.append(np.repeat(members, m))
        places.append(np.tile(members, m))
        values.append((0.5 * (block + block.T)).ravel())
    found = csr_array((np.concatenate(values), (np.concatenate(rows), np.concatenate(places))), shape=(n, n))
    require_positive_definite(stacks(found, codes), [f"{row + 1}" for row in range(n)])
    return KnownCovariance(found, {"cluster": cluster, "columns": list(columns)})


def known_matrix(
    data: pd.DataFrame,
    variance: str | None,
    V: KnownCovariance | np.ndarray | csr_array | None,
    rows: np.ndarray,
) -> csr_array:
    """Return the known covariance of some rows of a table, sparse (rows, rows).

    Raises
    ------
    FitError
        For a variance that is not positive, or a covariance that is not symmetric.
    ValueError
        For a covariance of another size than the table.
    """
    from scipy.sparse import csr_array, diags_array

    if variance is not None:
        v = positive_numbers(data[variance].iloc[rows], variance, what="variance")
        return csr_array(diags_array(v))
    if V is None:
        raise ValueError("There is neither a column of variances nor a covariance.")
    matrix = csr_array(V.matrix) if isinstance(V, KnownCovariance) else csr_array(V)
    if matrix.shape != (len(data), len(data)):
        raise ValueError(
            f"V has the shape {matrix.shape}; expected ({len(data)}, {len(data)}), as the table has rows."
        )
    if not np.isfinite(matrix.data).all():
        raise FitError("V holds a value that is not a finite number.")
    size = float(np.abs(matrix.data).max(initial=0.0))
    if abs(matrix - matrix.T).max() > 1e-9 * size:
        raise FitError("V is not symmetric.")
    chosen = csr_array(matrix[rows][:, rows])
    low = np.flatnonzero(~(chosen.diagonal() > 0.0))
    if low.size:
        raise FitError(f"V has no positive variance in row {int(rows[low[0]]) + 1}.")
    return csr_array(0.5 * (chosen + chosen.T))
