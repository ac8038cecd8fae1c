"""Does it replicate? The first sentence about several data sets, and what it rests on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from nwbswitch.analysis.meta_analysis.meta import MIN_STUDIES
from nwbswitch.analysis.plain_values import plain
from nwbswitch.analysis.replication.eligibility import Candidate, judged, known_candidates
from nwbswitch.analysis.replication.moderators import effects_with_moderators
from nwbswitch.analysis.replication.together import Member, joint_model, stages
from nwbswitch.analysis.runs.plan_places import placed
from nwbswitch.analysis.runs.results_folder import META_FOLDER
from nwbswitch.schemas.errors import FitError, FormulaError
from nwbswitch.schemas.files import write_json
from nwbswitch.schemas.issues import Severity

if TYPE_CHECKING:
    from nwbswitch.analysis.meta_analysis.meta_result import MetaFit
    from nwbswitch.analysis.runs.dataset_run import DatasetOutcome, Workplace
    from nwbswitch.schemas.analysis_plan import AnalysisPlan, MetaPlan

PRIMARY = "M"
BLINDED = "its arms are coded in this blinded run"


@dataclass(frozen=True, slots=True)
class Replication:
    """What several data sets say together.

    Attributes
    ----------
    sentence
        Whether the finding replicates, or why that cannot be judged.
    candidates
        Every data set that was looked at, eligible ones first.
    pooled
        Pooled effects by estimand, as JSON of `meta`; those that were listed only, too.
    left_out
        Pooled M without each data set or laboratory; empty when too few.
    placed
        Published fractions with the simulated worlds they are compatible with.
    together
        ``joint``: SW and rho* in one model; ``stages``: the mean event rate in one stage and in two. Empty
        with fewer than three eligible data sets.
    """

    sentence: str
    candidates: tuple[Candidate, ...]
    pooled: Mapping[str, Mapping[str, Any]]
    left_out: tuple[Mapping[str, Any], ...]
    placed: tuple[Mapping[str, Any], ...]
    together: Mapping[str, Mapping[str, Any]]

    def table(self) -> pd.DataFrame:
        """Return one row per data set."""
        return pd.DataFrame([asdict(each) for each in self.candidates])

    def summary(self) -> str:
        """Return the sentence and the data sets."""
        lines = [self.sentence]
        for each in self.candidates:
            why = "; ".join(each.reasons)
            lines.append(f"  {each.dataset}: {each.verdict or 'not analysed'}{f' ({why})' if why else ''}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        first = self.pooled.get(PRIMARY)
        interval = None
        if first is not None and first.get("pi_low") is not None:
            interval = {"low": first["pi_low"], "high": first["pi_high"]}
        found: dict[str, Any] = plain(
            {
                "sentence": self.sentence,
                "datasets": [asdict(each) for each in self.candidates],
                "pooled": {name: dict(each) for name, each in self.pooled.items()},
                "prediction": interval,
                "left_out": [dict(each) for each in self.left_out],
                "published": [dict(each) for each in self.placed],
                "together": {name: dict(each) for name, each in self.together.items()},
            }
        )
        return found


def replication(
    plan: AnalysisPlan, outcomes: Sequence[DatasetOutcome], folder: Path, at: Workplace
) -> Replication:
    """Return what the data sets of a run say together, and write their pooled effects into ``folder``."""
    candidates = [
        Candidate(each.plan.name, False, (BLINDED,), True, each.plan.lab)
        if at.blind and each.result is not None
        else judged(
            each.plan.name,
            each.result,
            arm=plan.switch.arm,
            lab=each.plan.lab,
            problems=tuple(one.message for one in each.issues if one.severity is Severity.ERROR),
        )
        for each in outcomes
    ]
    if plan.candidates is not None:
        analysed = {name for each in outcomes for name in _dandisets(each)}
        known = known_candidates(Path(placed(plan.candidates, at.base, what="candidates")))
        candidates += [each for each in known if each.dataset not in analysed]
    candidates.sort(key=lambda each: (not each.eligible, not each.analysed))
    eligible = [each for each in candidates if each.eligible]
    fits: dict[str, MetaFit] = {}
    unpooled: dict[str, Mapping[str, Any]] = {}
    left_out: tuple[Mapping[str, Any], ...] = ()
    if plan.meta is not None and len(eligible) > 1:
        effects = effects_of(plan, outcomes, eligible)
        for estimand in plan.meta.estimands:
            try:
                fits[estimand] = _pooled(effects, estimand, plan.meta)
            except (FitError, FormulaError) as error:
                unpooled[estimand] = {"status": str(error), "k": len(eligible)}
        left_out = _left_out(fits.get(PRIMARY))
    together: dict[str, Mapping[str, Any]] = {}
    if plan.meta is not None and len(eligible) >= MIN_STUDIES:
        members = [_member(each, outcomes) for each in eligible]
        together = {"joint": joint_model(members), "stages": stages(members)}
    for name, fit in fits.items():
        write_json(folder / META_FOLDER / f"{name}.json", fit.as_dict())
    return Replication(
        sentence=_sentence(candidates, eligible, fits.get(PRIMARY)),
        candidates=tuple(candidates),
        pooled={**{name: fit.as_dict() for name, fit in fits.items()}, **unpooled},
        left_out=left_out,
        placed=tuple(_placed(plan)),
        together=together,
    )


def _member(candidate: Candidate, outcomes: Sequence[DatasetOutcome]) -> Member:
    own = next(each for each in outcomes if each.plan.name == candidate.dataset)
    assert own.result is not None
    return Member(
        candidate.dataset, own.folder, candidate.arm, candidate.reference, str(own.result["cell_type"])
    )


def _dandisets(outcome: DatasetOutcome) -> set[str]:
    from nwbswitch.analysis.dandi_addresses import parse_address

    addresses = [parse_address(each) for each in outcome.plan.sources]
    return {each.dandiset for each in addresses if each is not None and each.dandiset}


def effects_of(
    plan: AnalysisPlan, outcomes: Sequence[DatasetOutcome], eligible: Sequence[Candidate]
) -> pd.DataFrame:
    """Return one row per eligible data set and estimand: dataset, lab, estimand, yi, vi and moderators."""
    results = {each.plan.name: each for each in outcomes}
    rows = []
    for each in eligible:
        outcome = results[each.dataset]
        assert outcome.result is not None
        arm = outcome.result["arms"][each.arm]
        against = {**arm["against_reference"], "M": arm["estimands"].get("M")}
        for name in plan.meta.estimands if plan.meta else ():
            numbers = against.get(name) or {}
            se = numbers.get("se")
            rows.append(
                {
                    "dataset": each.dataset,
                    "arm": each.arm,
                    "lab": each.lab or each.dataset,
                    "estimand": name,
                    "yi": numbers.get("estimate"),
                    "vi": None if se is None else se**2,
                    "n_animals": each.n_animals,
                    **outcome.plan.moderators,
                }
            )
    effects = pd.DataFrame(rows)
    if plan.meta is None or plan.meta.moderators is None:
        return effects
    return effects_with_moderators(effects, {each.dataset: results[each.dataset].folder for each in eligible})


def _pooled(effects: pd.DataFrame, estimand: str, asked: MetaPlan) -> MetaFit:
    from nwbswitch.analysis.meta_analysis.meta import meta

    own = effects[effects["estimand"] == estimand]
    return meta(
        own.astype({"yi": float, "vi": float}).rename(columns={"yi": estimand}),
        effect=estimand,
        variance="vi",
        slab="dataset",
        method=asked.method,
        test=asked.test,
        moderators=asked.moderators,
    )


def _left_out(fit: MetaFit | None) -> tuple[Mapping[str, Any], ...]:
    """Return the pooled M without each laboratory at a time."""
    if fit is None or not fit.pooled or fit.has_moderators:
        return ()
    from nwbswitch.analysis.meta_analysis.leave_one_out import leave_one_out

    try:
        rows = leave_one_out(fit, by="lab").rows
    except FitError:  # one laboratory made them all
        return ()
    kept = ["label", "estimate", "ci_low", "ci_high", "tau2", "k"]
    pooled = rows.loc[rows["status"] == "ok", kept].rename(columns={"label": "without"})
    return tuple({str(name): value for name, value in row.items()} for row in pooled.to_dict("records"))


def _placed(plan: AnalysisPlan) -> list[dict[str, Any]]:
    """Return each published pair of fractions with the worlds whose naive fractions are like it."""
    from nwbswitch.analysis.simulation.naive_worlds import compatible_worlds

    found = []
    for each in plan.published:
        worlds = compatible_worlds(each.down_pct, each.up_pct, window_s=each.window_s)
        found.append(
            {
                **each.model_dump(),
                "compatible_worlds": [str(world) for world in worlds],
                "sentence": _placed_sentence(each.label, each.down_pct, each.up_pct, worlds),
            }
        )
    return found


def _placed_sentence(label: str, down: float, up: float, worlds: Sequence[object]) -> str:
    names = _and([str(world) for world in worlds])
    with_what = f"is compatible with {names}" if worlds else "is compatible with none of the simulated worlds"
    return (
        f"{label}: {down:g} % of neurons down and {up:g} % up {with_what} by the same naive rule; "
        "compatibility is no evidence for any of them."
    )


def _sentence(candidates: Sequence[Candidate], eligible: Sequence[Candidate], fit: MetaFit | None) -> str:
    animals = sum(each.n_animals for each in eligible)
    found = (
        f"{_sets(len(candidates))} found, {len(eligible)} eligible with {animals} animals"
        if eligible
        else f"{_sets(len(candidates))} found, none eligible"
    )
    if len(eligible) < 2:
        what = ""
        if eligible:
            only = eligible[0]
            what = f" {only.dataset} says {only.verdict} for {only.arm}."
        return (
            f"Whether this replicates cannot be judged from these data: {found}. "
            f"Two or more are needed.{what} Why each candidate failed is listed."
        )
    words = Counter(each.verdict for each in eligible)
    verdicts = _and([f"{word.replace('_', ' ')} in {n}" for word, n in words.most_common()])
    same = (
        f"The same verdict in all {len(eligible)} data sets: {eligible[0].verdict.replace('_', ' ')}"
        if len(words) == 1
        else f"The data sets differ: {verdicts}"
    )
    return f"{same} ({found}). {_prediction(fit)}"


def _prediction(fit: MetaFit | None) -> str:
    if fit is None:
        return "The effects could not be pooled."
    if not fit.pooled:
        return f"Fewer than {MIN_STUDIES} data sets are listed, not pooled: there is no prediction interval."
    if fit.prediction is None:
        return "With moderators there is no one prediction interval."
    low, high = fit.prediction
    one = fit.coefficients[0]
    return (
        f"Pooled excess remapping M is {one.estimate:.2f} (95 % CI {one.ci_low:.2f} to {one.ci_high:.2f}); "
        f"that of a new data set is expected between {low:.2f} and {high:.2f}."
    )


def _sets(n: int) -> str:
    return f"{n} data set{'s' * (n != 1)}"


def _and(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
