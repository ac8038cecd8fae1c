"""The plan of an analysis, `analysis.yaml`: written before the data are seen, run and repeated from there."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from nwbswitch.schemas.epochs import Epoch
from nwbswitch.schemas.errors import StudyError
from nwbswitch.schemas.files import digest
from nwbswitch.schemas.issues import Place, has_errors, issue
from nwbswitch.schemas.study_findings import findings
from nwbswitch.schemas.study_positions import read_yaml

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_. -]{0,98}[A-Za-z0-9_-])?")
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)
MAX_SPECIFICATIONS = 2_000
Estimand = Literal["G", "R_act", "R_sil", "SW", "rho_star", "M"]


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else [value]


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(
            "a name has letters, digits, blanks, dots, dashes and underscores, 100 at most, "
            "and ends with no blank or dot"
        )
    if _DEVICE.fullmatch(text):
        raise ValueError("Windows has no file or folder of this name; choose another")
    return text


Name = Annotated[str, BeforeValidator(lambda value: _name(str(value)))]
Texts = Annotated[tuple[str, ...], BeforeValidator(_listed)]
_ROI_SET = r"^(all|anatomical|tracked|detected_[1-9][0-9]{0,5})$"


def _roi_set(text: str) -> str:
    if not re.match(_ROI_SET, text):
        raise ValueError("known are all, anatomical, tracked, and detected_k such as detected_20")
    return text


RoiSet = Annotated[str, Field(pattern=_ROI_SET), BeforeValidator(lambda value: _roi_set(str(value)))]
Numbers = Annotated[tuple[Annotated[float, Field(gt=0)], ...], BeforeValidator(_listed)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True)


class DatasetPlan(_Part):
    """One data set: its recordings and what its files leave open."""

    name: Name = Field(description="Name of the data set, and of its folder in the results.")
    sources: Annotated[Texts, Field(min_length=1)] = Field(
        description="Files, folders, patterns, dandi:ID@version, addresses; relative to this file."
    )
    overrides: str | None = Field(None, description="File of overrides for these recordings.")
    lab: str = Field("", description="Laboratory; data sets of one lab are left out together.")
    moderators: dict[str, float | str] = Field(
        {}, description="What is known of the data set and not in its files, for moderators of the pooling."
    )


class MeasurePlan(_Part):
    """How neurons are measured; as the options of ``nwbswitch measure``."""

    block_s: float = Field(30.0, gt=0, description="Length of a block, s.")
    threshold_sd: float = Field(3.0, gt=0, description="Level of an event, SD of the baseline noise.")
    neuropil_coefficient: Annotated[float, Field(ge=0, le=1)] | Literal["fit"] = Field(
        0.7, description="Share of the neuropil that is subtracted, or fit."
    )
    events: Literal["crossing", "deconvolution"] = Field("crossing", description="What an event is.")
    decay_s: Annotated[float, Field(gt=0)] | None = Field(None, description="Decay for deconvolution, s.")
    spikes: Literal["counted", "as_calcium"] = Field("counted", description="How spikes are taken.")
    modality: Literal["all", "calcium", "spikes"] = Field("all", description="Which recordings count.")
    max_shift_um: float = Field(5.0, gt=0, description="Motion beyond which a frame is left out, um.")
    frames: Literal["all", "still", "matched"] = Field(
        "all", description="all frames, still ones, or those matched for movement."
    )


class SwitchPlan(_Part):
    """What is estimated and decided, and against what."""

    reference: str | None = Field(None, description="Arm to compare with; by default saline or vehicle.")
    arm: str | None = Field(None, description="Arm of the primary test; by default all but the reference.")
    cell_type: str | None = Field(None, description="Cell type of the primary test; default: excitatory.")
    primary: Literal["M"] = Field("M", description="The primary test: M, excess remapping.")
    margin: float = Field(0.25, gt=0, lt=1, description="Correlation that counts as none.")
    k: Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_listed)] | None = Field(
        None, description="Detection limits of tau_c; by default from the data."
    )
    draws: int = Field(100, ge=1, le=10_000, description="Draws that break ties of the selection.")
    resamples: int = Field(0, ge=0, le=100_000, description="Bootstrap inside animals; 0: jackknife.")


class CoursePlan(_Part):
    """Sliding windows of the time courses."""

    width_s: float = Field(300.0, gt=0, description="Width of the sliding window, s.")
    step_s: float = Field(60.0, gt=0, description="Step of the sliding window, s.")


class RobustnessPlan(_Part):
    """Choices of the analysis to vary; every one is varied on its own, and all together if ``crossed``."""

    threshold_sd: Numbers = Field((2.5, 3.0, 3.5, 4.0), description="Levels of an event.")
    neuropil_coefficient: Annotated[
        tuple[Annotated[float, Field(ge=0, le=1)], ...], BeforeValidator(_listed)
    ] = Field((0.0, 0.3, 0.5, 0.7), description="Shares of the neuropil that are subtracted.")
    window_s: Numbers = Field((), description="Lengths of both windows, s; none: as they are.")
    roi_sets: Annotated[tuple[RoiSet, ...], BeforeValidator(_listed)] = Field(
        ("all",), description="all, anatomical, tracked, or detected_k such as detected_20."
    )
    frames: Annotated[tuple[Literal["all", "still", "matched"], ...], BeforeValidator(_listed)] = Field(
        ("all",), description="all frames, still ones, or those matched for movement."
    )
    k: Annotated[tuple[Annotated[int, Field(ge=1)], ...], BeforeValidator(_listed)] = Field(
        (), description="Detection limits of tau_c, each alone."
    )
    crossed: bool = Field(False, description="Whether all combinations are run.")


def n_specifications(measure: MeasurePlan, asked: RobustnessPlan) -> int:
    """Return how many specifications a plan asks for, its own among them."""
    choices: tuple[tuple[object, tuple[object, ...]], ...] = (
        (measure.threshold_sd, asked.threshold_sd),
        (measure.neuropil_coefficient, asked.neuropil_coefficient),
        (measure.frames, asked.frames),
        (0.0, asked.window_s),
        ("all", asked.roi_sets),
        (0, asked.k),
    )
    sizes = [len({own, *varied}) for own, varied in choices]
    return math.prod(sizes) if asked.crossed else 1 + sum(sizes) - len(sizes)


class ChangePlan(_Part):
    """Columns of a response that is a change from a baseline, such as (post - pre) / pre."""

    before: str = Field(min_length=1, description="Column with the value before.")
    after: str = Field(min_length=1, description="Column with the value after.")


class ModelPlan(_Part):
    """A mixed model of a table; as the options of ``nwbswitch fit``."""

    name: Name = Field(description="Name of the model, and of its file in the results.")
    question: str = Field("", description="What the model is to answer, in words.")
    table: str | None = Field(None, description="Table (.csv, .tsv, .parquet); default: rates of the study.")
    formula: str = Field(min_length=1, description="Formula as in lme4.")
    where: str | None = Field(None, description="Condition that chooses rows.")
    family: Literal["gaussian", "binomial"] = Field("gaussian", description="Distribution of the response.")
    trials: str | None = Field(None, description="Column with the number of trials of a binomial response.")
    weights: str | None = Field(None, description="Column with weights.")
    contrasts: Literal["treatment", "sum"] = Field("treatment", description="Coding of factors.")
    method: Literal["reml", "ml"] | None = Field(None, description="REML, or maximum likelihood.")
    ddf: Literal["kenward-roger", "satterthwaite", "none"] | None = Field(
        None, description="Degrees of freedom."
    )
    anova: Literal["I", "II", "III"] = Field("III", description="Type of the tests of terms.")
    robust: Literal["CR2"] | None = Field(None, description="Cluster-robust tests.")
    marginal_means: str | None = Field(None, description="Variables whose levels have a mean.")
    by: str | None = Field(None, description="Variables that split these means.")
    contrast: Literal["pairwise", "revpairwise", "trt.vs.ctrl", "eff", "consec", "poly"] | None = Field(
        None, description="Contrasts of the means."
    )
    change: ChangePlan | None = Field(
        None, description="When the response is a change from a baseline: what to check it for."
    )


class MetaPlan(_Part):
    """How effects are pooled over data sets, or over animals where there is one."""

    estimands: Annotated[tuple[Estimand, ...], BeforeValidator(_listed)] = Field(
        ("M", "SW"), description="Effects to pool, each of the drug against its reference."
    )
    method: Literal["reml", "dl", "pm", "ml", "he", "hs", "sj", "eb", "ee"] = Field(
        "reml", description="Estimator of tau2."
    )
    test: Literal["knha", "z", "t"] = Field("knha", description="Test and intervals.")
    moderators: str | None = Field(None, description="Right side of a formula of moderators.")


class PublishedFractions(_Part):
    """Fractions of neurons that a publication reports, for comparison with simulated worlds."""

    label: str = Field(min_length=1, description="Publication, e.g. Cichon et al. 2022.")
    source: str = Field("", description="Its DOI or address.")
    down_pct: float = Field(ge=0, le=100, description="Neurons called less active, %.")
    up_pct: float = Field(ge=0, le=100, description="Neurons called more active, %.")
    window_s: float = Field(120.0, gt=0, description="Length of the windows that were compared, s.")


class AnalysisPlan(_Part):
    """What is compared with what, how, and in which order it is believed."""

    name: Name = Field(description="Name of the analysis.")
    question: str = Field("", description="What it is to answer, in words.")
    sources: Texts = Field((), description="Recordings of the only data set, in place of datasets.")
    overrides: str | None = Field(None, description="Overrides of the only data set.")
    datasets: tuple[DatasetPlan, ...] = Field((), description="Data sets, each decided on its own.")
    instance: str = Field("dandi", description="Archive of dandi:ID.")
    epochs: tuple[Epoch, ...] = Field((), description="Analysis windows, in place of those of the files.")
    measure: MeasurePlan = Field(MeasurePlan(), description="How neurons are measured.")
    switch: SwitchPlan = Field(SwitchPlan(), description="What is estimated and decided.")
    time_courses: CoursePlan | None = Field(CoursePlan(), description="Time courses; null for none.")
    robustness: RobustnessPlan | None = Field(None, description="Specification curve; null for none.")
    models: tuple[ModelPlan, ...] = Field((), description="Mixed models.")
    meta: MetaPlan | None = Field(MetaPlan(), description="Pooling; null for none.")
    candidates: str | None = Field(
        None, description="Table of candidates from nwbswitch find, to say what else there is."
    )
    published: tuple[PublishedFractions, ...] = Field((), description="Published fractions to place.")
    seed: int = Field(0, ge=0, lt=2**63, description="Of ties, permutations and resamples.")

    @model_validator(mode="after")
    def _consistent(self) -> AnalysisPlan:
        if self.sources and self.datasets:
            raise ValueError("give sources or datasets, not both")
        if self.overrides and not self.sources:
            raise ValueError("overrides at the top belong to sources; give them to each of datasets")
        if not (self.sources or self.datasets or self.models):
            raise ValueError("there is nothing to do: give sources, datasets or models")
        if self.robustness and (n := n_specifications(self.measure, self.robustness)) > MAX_SPECIFICATIONS:
            raise ValueError(f"robustness has {n} specifications; at most {MAX_SPECIFICATIONS} are run")
        for what, parts in (("datasets", self.datasets), ("models", self.models)):
            names = [each.name.casefold() for each in parts]
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"two {what} are called {twice[0]!r}")
        lost = [each.name for each in self.models if each.table is None]
        if lost and not (self.sources or self.datasets):
            raise ValueError(f"the model {lost[0]!r} has no table, and there are no recordings")
        return self

    @property
    def studies(self) -> tuple[DatasetPlan, ...]:
        """The data sets; the one of ``sources`` carries the name of the analysis."""
        if self.sources:
            return (DatasetPlan(name=self.name, sources=self.sources, overrides=self.overrides),)
        return self.datasets

    def as_dict(self) -> dict[str, Any]:
        """Return the plan as plain JSON values, defaults filled in."""
        return self.model_dump(mode="json")

    @property
    def digest(self) -> str:
        """SHA-256 of all that the plan states, however it is written."""
        return digest(self.as_dict())


def load_plan(path: Path | str) -> AnalysisPlan:
    """Return the plan that a YAML file states.

    Raises
    ------
    StudyError
        With all mistakes at once, each with its line.
    """
    file = Path(path)
    document = read_yaml(file)
    found = list(document.issues)
    if not isinstance(document.value, dict):
        message = "The file holds no mapping; an analysis has a name, and sources, datasets or models."
        raise StudyError([*found, issue("wrong-value", message, place=Place(file, 1))])
    try:
        plan = AnalysisPlan.model_validate(document.value)
    except ValidationError as error:
        found += findings(error, document.places, root=AnalysisPlan)
        raise StudyError(sorted(found, key=lambda each: each.place.line or 0)) from error
    if has_errors(found):
        raise StudyError(found)
    return plan


def changes(then: dict[str, Any], now: dict[str, Any], at: str = "") -> list[str]:
    """Return in words what differs between two plans as plain values, key by key."""
    found: list[str] = []
    for key in sorted({*then, *now}):
        where = f"{at}.{key}" if at else key
        one, two = then.get(key), now.get(key)
        if one == two:
            continue
        if isinstance(one, dict) and isinstance(two, dict):
            found += changes(one, two, where)
        elif isinstance(one, list) and isinstance(two, list):
            found.append(f"{where}: {_short(one)} before, {_short(two)} now")
        else:
            found.append(f"{where}: {_short(one)} before, {_short(two)} now")
    return found


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
