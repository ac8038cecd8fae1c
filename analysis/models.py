"""Models of a table on disk, kept with the record of how they were made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nwbswitch.analysis.results_folder import save_result, table_work
from nwbswitch.analysis.table_file import read_table

if TYPE_CHECKING:
    from nwbswitch.analysis.meta import MetaFit, Test
    from nwbswitch.analysis.meta_tau2 import Method as MetaMethod
    from nwbswitch.analysis.mixed.deviance import Method
    from nwbswitch.analysis.mixed.inference import Ddf
    from nwbswitch.analysis.mixed.result import MixedFit


def fit_table(
    table: Path,
    formula: str,
    *,
    out: Path | None = None,
    where: str | None = None,
    method: Method = "reml",
    ddf: Ddf = "kenward-roger",
    overwrite: bool = False,
) -> MixedFit:
    """Fit a mixed model to a table file and keep it in ``out``; arguments as in `mixed.fit`.

    Raises
    ------
    ExistingOutputError
        If ``out`` holds the result of other work and ``overwrite`` is false.
    """
    from nwbswitch.analysis.mixed.fit import fit

    result = fit(read_table(table), formula, where=where, method=method, ddf=ddf)
    if out is not None:
        parameters = {"formula": formula, "where": where, "method": method, "ddf": ddf}
        work = table_work("fit", table, parameters)
        save_result(out, result.as_dict(), work=work, overwrite=overwrite)
    return result


def pool_table(
    table: Path,
    *,
    effect: str,
    variance: str,
    out: Path | None = None,
    method: MetaMethod = "reml",
    test: Test = "knha",
    moderators: str | None = None,
    where: str | None = None,
    slab: str | None = None,
    overwrite: bool = False,
) -> MetaFit:
    """Pool the effects in a table file and keep the result in ``out``; arguments as in `meta.meta`.

    Raises
    ------
    ExistingOutputError
        If ``out`` holds the result of other work and ``overwrite`` is false.
    """
    from nwbswitch.analysis.meta import meta

    result = meta(
        read_table(table),
        effect=effect,
        variance=variance,
        method=method,
        test=test,
        moderators=moderators,
        where=where,
        slab=slab,
    )
    if out is not None:
        parameters = {
            "effect": effect,
            "variance": variance,
            "method": method,
            "test": test,
            "moderators": moderators,
            "where": where,
            "slab": slab,
        }
        save_result(out, result.as_dict(), work=table_work("meta", table, parameters), overwrite=overwrite)
    return result
