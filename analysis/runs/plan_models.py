"""The mixed models of a plan: fitted, checked where their response is a change, and kept as JSON."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwbswitch.analysis.runs.plan_places import placed
from nwbswitch.analysis.runs.results_folder import FIT_FILE, MODELS_FOLDER, RATES_FILE, read_json
from nwbswitch.analysis.runs.run_record import InputFile
from nwbswitch.analysis.runs.run_result import ModelAnswer
from nwbswitch.schemas.analysis_plan import AnalysisPlan, ModelPlan
from nwbswitch.schemas.errors import FitError, FormulaError, InputFileError
from nwbswitch.schemas.files import sha256_file, write_json

if TYPE_CHECKING:
    from nwbswitch.analysis.fit_report import FitReport
    from nwbswitch.analysis.mixed.change_scores import ChangeCheck
    from nwbswitch.analysis.runs.dataset_run import DatasetOutcome, Workplace

NOT_BLIND = "not fitted in a blinded run: nothing codes the arms of a table"
_NOT_FITTED = "question", "name", "table", "change"


def run_models(
    plan: AnalysisPlan, outcomes: Sequence[DatasetOutcome], folder: Path, at: Workplace
) -> tuple[tuple[ModelAnswer, ...], tuple[InputFile, ...]]:
    """Fit the models of a plan; return their answers and the tables that were read.

    A model that cannot be fitted is told with its reason and does not stop the others. In a blinded run
    models of tables are not fitted, since nothing codes the arms in them.
    """
    answers: list[ModelAnswer] = []
    inputs: dict[str, InputFile] = {}
    for model in plan.models:
        tables: list[tuple[str, Path, Path]] = []
        if model.table is not None:
            if at.blind:
                answers.append(ModelAnswer(model.name, model.question, NOT_BLIND))
                continue
            path = Path(placed(model.table, at.base, what=f"models.{model.name}.table"))
            try:
                inputs[model.table] = InputFile("", model.table, sha256_file(path))
            except InputFileError as error:
                if (folder / MODELS_FOLDER / f"{model.name}.json").exists():
                    raise
                why = f"{error} The plan names it as table {model.table!r}, relative to the plan."
                answers.append(ModelAnswer(model.name, model.question, "", why))
                continue
            tables.append((model.name, path, folder / MODELS_FOLDER / f"{model.name}.json"))
        else:
            tables += _of_studies(model, plan, outcomes)
        for name, table, target in tables:
            at.say(f"fitting {name}")
            answers.append(_answer(model, name, table, target, at))
    return tuple(answers), tuple(inputs.values())


def require_formulas(plan: AnalysisPlan) -> None:
    """Read all formulas of a plan, before anything is measured.

    Raises
    ------
    FormulaError
        For all that cannot be read, each with the name of its model.
    """
    from nwbswitch.analysis.formulas.formula import read_formula

    found = []
    for model in plan.models:
        try:
            read_formula(model.formula, cbind=model.family == "binomial")
        except FormulaError as error:
            found.append(f"model {model.name}: {error}")
    if found:
        raise FormulaError("\n".join(found))


def _of_studies(
    model: ModelPlan, plan: AnalysisPlan, outcomes: Sequence[DatasetOutcome]
) -> list[tuple[str, Path, Path]]:
    """Return name, table and target of a model of the rates of each data set; the first is the report's."""
    found = []
    for each in outcomes:
        name = f"{each.plan.name}: {model.name}" if plan.datasets else model.name
        first = next(one.name for one in plan.models if one.table is None) == model.name
        target = each.folder / (FIT_FILE if first else f"{MODELS_FOLDER}/{model.name}.json")
        found.append((name, each.folder / RATES_FILE, target))
    return found


def _answer(model: ModelPlan, name: str, table: Path, target: Path, at: Workplace) -> ModelAnswer:
    from nwbswitch.analysis.runs.models import fit_table

    asked: dict[str, Any] = model.model_dump(exclude=set(_NOT_FITTED))
    try:
        report = fit_table(table, **asked, out=target, seed=at.plan.seed, overwrite=at.overwrite)
        text = report.summary()
        if model.change is not None:
            check = _checked_change(model, table, report)
            text += f"\n\nRegression to the mean\n{check.summary()}"
            write_json(target, {**read_json(target), "change": check.as_dict()})
    except (FitError, FormulaError, InputFileError, ValueError) as error:
        target.unlink(missing_ok=True)
        return ModelAnswer(name, model.question, "", str(error))
    return ModelAnswer(name, model.question, text)


def _checked_change(model: ModelPlan, table: Path, report: FitReport) -> ChangeCheck:
    """Return the check of a response that is a change from a baseline.

    Raises
    ------
    ValueError
        If the model is not gaussian, or its response is not (after - before) / before.
    """
    from nwbswitch.analysis.mixed.change_scores import change_check
    from nwbswitch.analysis.mixed.result import MixedFit
    from nwbswitch.analysis.table_file import read_table

    assert model.change is not None
    if not isinstance(report.fit, MixedFit):
        raise ValueError("change is for gaussian models")
    before, after = model.change.before, model.change.after
    response = re.sub(r"[\s`()]", "", model.formula.partition("~")[0])
    if response != f"{after}-{before}/{before}":
        expected = f"({after} - {before}) / {before}"
        raise ValueError(f"change is given, and the response is not {expected}")
    return change_check(
        read_table(table),
        report.fit,
        formula=model.formula,
        before=before,
        after=after,
        where=model.where,
        ddf=model.ddf or "kenward-roger",
    )
