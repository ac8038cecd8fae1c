"""Effects of several studies with the covariance of their sampling errors, from tables of estimates.

The variance of an effect is the squared standard error of its arm. Effects of one study share animals: with
the influence u_a of animal a on each effect, two effects i, j have the correlation sum_a u_ia u_ja /
sqrt(sum u_ia^2 sum u_ja^2) (jackknife; Efron and Tibshirani 1993, chapter 11), and covariance that times
their standard errors. Influence values are those of `animal_influence.influence_table` where given.
Otherwise they are taken from the animals' own estimates t_a as (t_a - mean) / sqrt(n (n - 1)), of the arm
minus those of the reference where these are other animals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from nwbswitch.analysis.meta_analysis.known_covariance import KnownCovariance
from nwbswitch.analysis.meta_analysis.meta import MIN_STUDIES
from nwbswitch.analysis.meta_analysis.multilevel import multilevel
from nwbswitch.analysis.meta_analysis.multilevel_charts import Struct
from nwbswitch.analysis.meta_analysis.multilevel_likelihood import Method
from nwbswitch.analysis.meta_analysis.multilevel_result import MultilevelFit
from nwbswitch.analysis.plain_values import plain
from nwbswitch.schemas.errors import FitError
from nwbswitch.schemas.issues import nearest
from nwbswitch.schemas.tables import ESTIMATES

_KEY: Final = ["dataset", "arm", "cell_type", "contrast", "estimand", "k"]
_LEFT_OUT: Final = [*_KEY, "status"]
NO_SE: Final = "no standard error"
NO_ANIMALS: Final = "the animals have no estimates of their own, so its covariance with others is not known"


@dataclass(frozen=True, slots=True, repr=False)
class StudyEffects:
    """Effects to be pooled, one row per dataset, arm, cell type and estimand.

    Attributes
    ----------
    rows
        study (datasets that share animals are one), dataset, arm, cell_type, contrast, estimand, k, yi, vi,
        se, df, n_animals, simulated.
    V
        Sampling covariance of the rows, blocks of studies.
    left_out
        What was asked for and has no effect: the same names and the reason in ``status``.
    info
        How they were found.
    """

    rows: pd.DataFrame
    V: KnownCovariance
    left_out: pd.DataFrame
    info: Mapping[str, Any]

    def __repr__(self) -> str:
        return self.summary()

    @property
    def n_studies(self) -> int:
        """Number of studies."""
        return int(self.rows["study"].nunique())

    def table(self) -> pd.DataFrame:
        """Return the effects."""
        return self.rows

    def pool(
        self,
        *,
        random: str | Sequence[str] | None = None,
        struct: Struct = "UN",
        moderators: str | None = None,
        method: Method = "reml",
        level: float = 0.95,
    ) -> MultilevelFit:
        """Return the multilevel meta-analysis of the effects with their covariance.

        Parameters
        ----------
        random
            By default, with several estimands ``~ estimand | study``; else ``~ 1 | study``, with rows
            inside a study as a level of their own where a study has several.
        struct
            Covariance of the estimands between studies.
        moderators
            By default a mean for each estimand.
        method, level
            As in `multilevel.multilevel`.

        Raises
        ------
        FitError
            For fewer than three studies, which are listed and not pooled, or effects that are sums of others.
        """
        if self.n_studies < MIN_STUDIES:
            raise FitError(
                f"{self.n_studies} {'study' if self.n_studies == 1 else 'studies'}: listed, not pooled, "
                f"since a pooled effect needs {MIN_STUDIES}."
            )
        several = self.rows["estimand"].nunique() > 1
        repeated = bool(self.rows.duplicated(["study", "estimand"]).any())
        data = self.rows.assign(effect=np.arange(len(self.rows)))
        if random is None:
            inner = ["~ estimand | study"] if several else ["~ 1 | study"]
            random = [*inner, "~ 1 | effect"] if repeated else inner
        if moderators is None and several:
            moderators = "estimand - 1"
        return multilevel(
            data,
            effect="yi",
            V=self.V,
            random=random,
            struct=struct,
            moderators=moderators,
            method=method,
            slab="dataset",
            level=level,
        )

    def summary(self) -> str:
        """Return the effects as text for people."""
        simulated = "SIMULATED DATA. " if self.rows["simulated"].any() else ""
        shown = self.rows[["study", "arm", "cell_type", "estimand", "yi", "se", "n_animals"]]
        lines = [
            f"{simulated}{len(self.rows)} effects of {self.n_studies} studies",
            shown.to_string(index=False, float_format=lambda value: f"{value:.3g}"),
        ]
        if self.n_studies < MIN_STUDIES:
            lines.append(f"Fewer than {MIN_STUDIES} studies are listed, not pooled.")
        lines += [
            f"Left out: {row.dataset} {row.arm} {row.cell_type} {row.estimand}: {row.status}"
            for row in self.left_out.itertuples()
        ]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return effects, covariance and what was left out as plain JSON values."""
        found: dict[str, Any] = plain(
            {
                "effects": self.rows.to_dict("records"),
                "V": np.asarray(self.V),
                "left_out": self.left_out.to_dict("records"),
                "info": dict(self.info),
            }
        )
        return found


def study_effects(
    estimates: pd.DataFrame | Sequence[pd.DataFrame],
    *,
    estimands: Sequence[str] = ("SW", "rho_star"),
    contrast: str | Sequence[str] = "vs_saline",
    arm: str | Sequence[str] | None = None,
    cell_type: str | Sequence[str] | None = "excitatory",
    k: int | None = None,
    influence: pd.DataFrame | None = None,
    same_animals: Sequence[Sequence[str]] = (),
) -> StudyEffects:
    """Return the effects of several datasets with the covariance of their sampling errors.

    Parameters
    ----------
    estimates
        Tables with the columns of ``ESTIMATES``, of one or several datasets; they are not changed.
    estimands
        Names of estimands.
    contrast
        ``vs_saline``, ``drug`` and so on; of several the first that an arm has.
    arm, cell_type
        Arms and cell types to take, or None for all that have the contrast.
    k
        Detection limit of tau_c, where it is asked for.
    influence
        Influence of the animals, columns as of `animal_influence.influence_table`.
    same_animals
        Groups of datasets in which the same animal id is the same animal; only what is stated here is
        shared, and datasets that share animals are one study.

    Raises
    ------
    TableError
        If a table does not fit its specification.
    FitError
        If no effect is left, or several rows answer one question.
    ValueError
        For an estimand or dataset that is not there.
    """
    frames = [estimates] if isinstance(estimates, pd.DataFrame) else list(estimates)
    if not frames:
        raise ValueError("There is no table of estimates.")
    table = pd.concat([ESTIMATES.checked(each) for each in frames], ignore_index=True)
    _require_known(table, estimands, same_animals)
    asked = table[(table["level"] == "arm") & table["estimand"].isin(list(estimands))]
    for name, wanted in (("arm", arm), ("cell_type", cell_type)):
        if wanted is not None:
            asked = asked[asked[name].isin([wanted] if isinstance(wanted, str) else list(wanted))]
    asked = asked[(asked["estimand"] != "tau_c") | (asked["k"] == (-1 if k is None else k))]
    asked = _first_contrast(asked, [contrast] if isinstance(contrast, str) else list(contrast))
    if asked.empty:
        raise FitError(
            f"No dataset has {' or '.join(estimands)} at arm level for the contrast {contrast!r}"
            + (f" in {cell_type!r} cells." if cell_type is not None else ".")
        )
    double = asked[asked.duplicated(_KEY, keep=False)]
    if len(double):
        row = double.iloc[0]
        raise FitError(
            f"Several rows hold {row['estimand']} of {row['arm']} in {row['dataset']}; a dataset belongs "
            "into the table once."
        )
    cluster = _clusters(table["dataset"].unique().tolist(), same_animals)
    asked = (
        asked.assign(study=asked["dataset"].map(cluster)).sort_values(["study", *_KEY]).reset_index(drop=True)
    )
    usable = (asked["status"] == "ok") & np.isfinite(asked["estimate"]) & (asked["se"] > 0.0)
    status = asked["status"].where(asked["status"] != "ok", NO_SE).where(~usable, "ok").tolist()
    vectors = _influences(asked, table, influence)
    counts = asked.loc[usable, "study"].value_counts()
    for place, (study, fine) in enumerate(zip(asked["study"], usable, strict=True)):
        if fine and counts[study] > 1 and not vectors[place]:
            status[place] = NO_ANIMALS
    kept = np.array([each == "ok" for each in status])
    if not kept.any():
        raise FitError(f"No effect can be used: {status[0]}.")
    rows = asked[kept].reset_index(drop=True)
    left_out = asked.loc[~kept, _KEY].assign(status=[each for each in status if each != "ok"])
    own = [vector for vector, fine in zip(vectors, kept, strict=True) if fine]
    V = _covariance(rows, own)
    shown = rows.rename(columns={"estimate": "yi"}).assign(vi=rows["se"] ** 2)
    columns = ["study", *_KEY, "yi", "vi", "se", "df", "n_animals", "simulated"]
    info = {
        "estimands": list(estimands),
        "contrast": contrast,
        "covariance": "animals' own estimates" if influence is None else "jackknife influence",
        "same_animals": [list(each) for each in same_animals],
    }
    return StudyEffects(shown[columns], V, left_out.reset_index(drop=True)[_LEFT_OUT], info)


def _require_known(table: pd.DataFrame, estimands: Sequence[str], same: Sequence[Sequence[str]]) -> None:
    known = sorted(set(table["estimand"]))
    for name in estimands:
        if name not in known:
            raise ValueError(f"There is no estimand {name!r}. {nearest(name, known)}".rstrip())
    datasets = sorted(set(table["dataset"]))
    for group in same:
        for name in group:
            if name not in datasets:
                raise ValueError(f"There is no dataset {name!r}. {nearest(name, datasets)}".rstrip())


def _first_contrast(asked: pd.DataFrame, contrasts: Sequence[str]) -> pd.DataFrame:
    """Return the rows with the first contrast that their dataset, arm and cell type have."""
    rank = asked["contrast"].map({name: place for place, name in enumerate(contrasts)})
    asked = asked[rank.notna()].assign(_rank=rank[rank.notna()])
    lowest = asked.groupby(["dataset", "arm", "cell_type"])["_rank"].transform("min")
    return asked[asked["_rank"] == lowest].drop(columns="_rank")


def _clusters(datasets: Sequence[str], same: Sequence[Sequence[str]]) -> dict[str, str]:
    """Return the study of every dataset: itself, or the names of all that share animals with it."""
    member = {name: {name} for name in datasets}
    for group in same:
        joined = set().union(*(member[name] for name in group))
        for name in joined:
            member[name] = joined
    return {name: " + ".join(sorted(found)) for name, found in member.items()}


def _influences(
    asked: pd.DataFrame, table: pd.DataFrame, influence: pd.DataFrame | None
) -> list[dict[tuple[str, str], float]]:
    """Return the influence of animals, by (study, animal), on each row."""
    if influence is None:
        animals = table[(table["level"] == "animal") & np.isfinite(table["estimate"])]
        values = _by_key(animals, "estimate")
    else:
        values = _by_key(influence, "influence")
    found = []
    for row in asked.to_dict("records"):
        key = tuple(row[name] for name in _KEY)
        own = values.get(key, {}) if influence is not None else _from_animals(key, values)
        # Without a statement an animal belongs to its dataset alone, which then is the study.
        found.append({(str(row["study"]), animal): value for animal, value in own.items()})
    return found


def _by_key(table: pd.DataFrame, value: str) -> dict[tuple[Any, ...], dict[str, float]]:
    """Return the animals' numbers by dataset, arm, cell type, contrast, estimand and k."""
    return {
        tuple(key): dict(zip(own["animal"], own[value], strict=True))
        for key, own in table.groupby(_KEY, sort=False)
    }


def _from_animals(
    key: tuple[Any, ...], values: Mapping[tuple[Any, ...], Mapping[str, float]]
) -> dict[str, float]:
    dataset, arm, cell_type, contrast, estimand, k = key
    if values.get(key):
        return _centred(values[key])
    if not contrast.startswith("vs_"):
        return {}
    sign, of = (-1.0, "rho_star") if estimand == "M" else (1.0, estimand)
    parts = [
        _centred(values.get((dataset, name, cell_type, "drug", of, k), {}))
        for name in (arm, contrast.removeprefix("vs_"))
    ]
    if not all(parts):
        return {}
    found = {animal: sign * value for animal, value in parts[0].items()}
    for animal, value in parts[1].items():
        found[animal] = found.get(animal, 0.0) - sign * value
    return found


def _centred(values: Mapping[str, float]) -> dict[str, float]:
    n = len(values)
    if n < 2:
        return {}
    mean = sum(values.values()) / n
    size = float(np.sqrt(n * (n - 1.0)))
    return {animal: (value - mean) / size for animal, value in values.items()}


def _covariance(rows: pd.DataFrame, vectors: Sequence[Mapping[tuple[str, str], float]]) -> KnownCovariance:
    from scipy.sparse import csr_array, diags_array

    n = len(rows)
    se = rows["se"].to_numpy(dtype=float)
    place: dict[tuple[str, str], int] = {}
    entries = [
        (i, place.setdefault(key, len(place)), value)
        for i, own in enumerate(vectors)
        for key, value in own.items()
    ]
    correlation = csr_array(diags_array(np.ones(n)))
    if entries:
        i, j, value = (np.array(each) for each in zip(*entries, strict=True))
        U = csr_array((value.astype(float), (i, j)), shape=(n, len(place)))
        size = np.sqrt((U**2).sum(axis=1))
        scaled = diags_array(1.0 / np.where(size > 0.0, size, 1.0)) @ U
        correlation = csr_array(scaled @ scaled.T)
        correlation.setdiag(1.0)
    found = csr_array(diags_array(se) @ correlation @ diags_array(se))
    found.eliminate_zeros()
    return KnownCovariance(found, {"cluster": "study", "n_clusters": int(rows["study"].nunique())})
