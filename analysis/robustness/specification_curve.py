"""The specification curve: one answer per way of analysing, none of them selected.

See Simonsohn, Simmons and Nelson 2020 (Nat Hum Behav 4:1208-1214) for the idea. All specifications are
shown with the plan's own among them; there is no test over them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from nwbswitch.analysis.estimands.counts import SessionCounts
from nwbswitch.analysis.estimands.counts_reader import read_cells
from nwbswitch.analysis.measure import Sources, measure
from nwbswitch.analysis.robustness.session_variants import varied_sessions
from nwbswitch.analysis.robustness.specifications import Specification, planned, specifications
from nwbswitch.analysis.runs.study_design import DesignedStudy, designed_study, sessions_beside
from nwbswitch.analysis.verdicts.arm_analysis import ArmResult, analyse_arms, arm_key, find_reference
from nwbswitch.analysis.verdicts.pooling import Estimate
from nwbswitch.analysis.verdicts.switch import primary_type
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError, IssuesError
from nwbswitch.schemas.result_tables import SPECIFICATIONS

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from nwbswitch.schemas.analysis_plan import MeasurePlan, RobustnessPlan, SwitchPlan
    from nwbswitch.schemas.overrides import Overrides

OWN = ("G", "R_act", "R_sil", "SW", "rho_star")
NO_DATA = "no data under this specification"


def specification_curve(
    sources: Sources,
    *,
    cells: Path,
    asked: RobustnessPlan,
    measure_plan: MeasurePlan,
    switch_plan: SwitchPlan,
    folder: Path,
    overrides: Overrides | None = None,
    instance: str = "dandi",
    seed: int = 0,
    workers: int = 1,
    executor: Executor | None = None,
) -> pd.DataFrame:
    """Return the estimates and verdicts of every specification, columns of ``SPECIFICATIONS``.

    Thresholds, neuropil coefficients and choices of frames are measured anew, once each; windows, sets of
    ROIs and detection limits are taken from what was measured.

    Parameters
    ----------
    sources, overrides, instance, workers, executor
        As in `nwbswitch.analysis.measure.measure`.
    cells
        Cells of the plan's own specification.
    asked
        Which choices to vary.
    measure_plan, switch_plan
        The plan's own choices.
    folder
        Where further cells are kept, so that work that was stopped goes on.
    seed
        Of ties and permutations.

    Raises
    ------
    ValueError
        When a choice is none, or there are too many specifications.
    """
    chosen = specifications(measure_plan, asked)
    measured: dict[Any, DesignedStudy] = {}
    own = planned(measure_plan)
    table = sessions_beside(cells)
    rows: list[dict[str, Any]] = []
    for number, each in enumerate(chosen):
        if each.measured not in measured:
            # One set of cells is in memory at a time.
            sessions = _sessions(each, own, cells, sources, measure_plan, folder,
                                 overrides, instance, workers, executor)  # fmt: skip
            measured = {each.measured: designed_study(sessions, table, reference=switch_plan.reference)}
        rows += _rows(number, each, measured[each.measured], measure_plan, switch_plan, seed)
    return SPECIFICATIONS.checked(pd.DataFrame(rows, columns=list(SPECIFICATIONS.names)))


def _sessions(
    each: Specification,
    own: Specification,
    cells: Path,
    sources: Sources,
    plan: MeasurePlan,
    folder: Path,
    overrides: Overrides | None,
    instance: str,
    workers: int,
    executor: Executor | None,
) -> list[SessionCounts]:
    """Return the sessions as they are measured under a specification; none where nothing can be."""
    if each.measured == own.measured:
        return read_cells(cells)
    name = f"threshold-{each.threshold_sd:g}-neuropil-{each.neuropil_coefficient}-{each.frames}"
    options = plan.model_dump()
    options |= {
        "threshold_sd": each.threshold_sd,
        "neuropil_coefficient": each.neuropil_coefficient,
        "frames": each.frames,
    }
    target = folder / name / "cells.parquet"

    def measured(overwrite: bool) -> None:
        measure(
            sources,
            out=target,
            overrides=overrides,
            instance=instance,
            workers=workers,
            executor=executor,
            overwrite=overwrite,
            **options,
        )

    try:
        try:
            measured(False)
        except (ExistingOutputError, InputFileError):
            measured(True)
    except IssuesError:
        return []
    return read_cells(target)


def _rows(
    number: int,
    specification: Specification,
    study: DesignedStudy,
    measured: MeasurePlan,
    asked: SwitchPlan,
    seed: int,
) -> list[dict[str, Any]]:
    kept = varied_sessions(study.sessions, specification, block_s=measured.block_s)
    heading = {
        "specification": number,
        "threshold_sd": specification.threshold_sd,
        "neuropil_coefficient": str(specification.neuropil_coefficient),
        "window_s": specification.window_s,
        "roi_set": specification.roi_set,
        "frames": specification.frames,
        "k": specification.k,
    }
    if not kept:
        return [heading | _nothing(study.sessions)]
    name = primary_type(kept, asked.cell_type)
    own = [each for each in kept if each.cell_type == name]
    there = sorted({arm_key(each) for each in own})
    reference: str | Mapping[str, str] | None
    if asked.reference is not None:
        reference = asked.reference if asked.reference in there else None
    elif study.references:
        reference = {arm: to for arm, to in study.references.items() if arm in there and to in there}
    else:
        reference = find_reference(there, None)
    limits = (specification.k,) if specification.k else asked.k
    arms = analyse_arms(
        own,
        reference=reference,
        margin=asked.margin,
        limits=limits,
        draws=asked.draws,
        seed=seed,
    )
    heading |= {
        "dataset": own[0].dataset,
        "cell_type": name,
        "simulated": any(each.simulated for each in own),
    }
    return [heading | row for arm in arms.values() for row in _arm_rows(arm)]


def _nothing(sessions: Sequence[SessionCounts]) -> dict[str, Any]:
    first = sessions[0] if sessions else None
    return {
        "dataset": first.dataset if first else "",
        "cell_type": first.cell_type if first else "",
        "arm": "",
        "reference": "",
        "verdict": "",
        "estimand": "M",
        "contrast": "drug",
        "n_animals": 0,
        "n_neurons": 0,
        "status": NO_DATA,
        "simulated": any(each.simulated for each in sessions),
    }


def _arm_rows(arm: ArmResult) -> list[dict[str, Any]]:
    heading = {"arm": arm.arm, "reference": arm.reference, "verdict": arm.verdict.word.value}
    found: list[tuple[str, str, Estimate]] = [
        (name, "drug", arm.drug_estimates[name, 0]) for name in OWN if (name, 0) in arm.drug_estimates
    ]
    sweep = [each for (name, _), each in arm.drug_estimates.items() if name == "tau_c"]
    if sweep:
        found.append(("tau_c", "drug", max(sweep, key=_least_favourable)))
    against: Mapping[Any, Estimate] = arm.difference.estimates if arm.difference else {}
    found += [(name, arm.contrast_name, each) for (name, k), each in against.items() if name in (*OWN, "M")]
    return [
        heading | {"estimand": name, "contrast": contrast} | _numbers(each) for name, contrast, each in found
    ]


def _least_favourable(estimate: Estimate) -> float:
    """Return what orders a sweep of detection limits by how little it says for a switch."""
    high = estimate.interval()[1]
    return high if math.isfinite(high) else math.inf


def _numbers(estimate: Estimate) -> dict[str, Any]:
    low, high = estimate.interval()
    return {
        "estimate": estimate.estimate,
        "se": estimate.se,
        "ci_low": low,
        "ci_high": high,
        "p": estimate.p,
        "n_animals": estimate.n_animals,
        "n_neurons": estimate.n_neurons,
        "status": estimate.status,
    }
