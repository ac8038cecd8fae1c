"""Rerun the type I errors, powers and coverages that the pages on mixed models state.

python benchmarks/calibration_mixed.py --workers 2                all tables, half an hour
python benchmarks/calibration_mixed.py between --sets 200         one table, small
python benchmarks/calibration_mixed.py crossover power coverage --sets 200

Each table is Markdown: our share with its Monte-Carlo standard error, the stated value, and their distance
in standard errors of the difference (the stated values are simulated too, with 2,000 sets in the table
between animals and in the power check, 1,000 in the crossover, and rounded). A cell agrees within 3.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.inference.inference import inference
from nwbswitch.analysis.mixed.deviance import Deviance
from nwbswitch.analysis.mixed.model import Model
from nwbswitch.analysis.mixed.optimum import Optimum, optimise
from nwbswitch.analysis.power.components import Components
from nwbswitch.analysis.power.simulation import Layout, Moments, NeuronCounts, draw_moments, summaries_of
from nwbswitch.analysis.resampling.bootstrap import bootstrap
from nwbswitch.analysis.resampling.cluster_robust import cluster_robust
from nwbswitch.analysis.resampling.permutation import permutation_test
from nwbswitch.analysis.resampling.profile import profile
from nwbswitch.analysis.resampling.wild_bootstrap import wild_test
from nwbswitch.analysis.summaries.reduce import reduced
from nwbswitch.schemas.jobs import run_jobs

ALPHA = 0.05
EFFECT = 0.4
COMPONENTS = {
    "animal_intercept_sd": 0.4,
    "animal_slope_sd": 0.25,
    "animal_correlation": 0.3,
    "session_intercept_sd": 0.2,
    "session_slope_sd": 0.15,
    "neuron_sd": 0.8,
    "residual_sd": 0.6,
}
ANIMAL_SLOPE = COMPONENTS["animal_slope_sd"]
MINIMAL = "y ~ drug * epoch + (1 + epoch | animal) + (1 | session) + (1 | neuron)"
WITH_SESSION = "y ~ drug * epoch + (1 + epoch | animal) + (1 + epoch | session) + (1 | neuron)"
FULL = "y ~ drug * epoch + (1 + epoch + drug:epoch | animal) + (1 + epoch | session) + (1 | neuron)"
DRAWS = 999

SIZES = (3, 4, 6, 12)
BETWEEN: Mapping[str, tuple[float, ...]] = {
    "neuron t": (0.77, 0.73, 0.74, 0.74),
    "session t": (0.16, 0.14, 0.14, 0.14),
    "LMM z": (0.117, 0.095, 0.083, 0.068),
    "Satterthwaite": (0.046, 0.049, 0.059, 0.054),
    "Kenward-Roger": (0.046, 0.049, 0.059, 0.054),
    "CR1 z": (0.154, 0.110, 0.097, 0.072),
    "CR2, Bell-McCaffrey": (0.046, 0.049, 0.059, 0.054),
    "wild (Webb)": (0.069, 0.060, 0.058, 0.052),
    "animal permutation": (0.0, 0.026, 0.057, 0.053),
}
RESPONSES = (0.0, 0.25)
CROSSOVER: Mapping[str, tuple[float | None, ...]] = {
    MINIMAL: (0.44, 0.70),
    WITH_SESSION: (0.064, 0.155),
    FULL: (None, 0.033),
}
COVERED_SIZES = (3, 6, 12)
WALD, PROFILE = "Kenward-Roger t", "profile likelihood (ML)"
BOOTSTRAP, PROFILE_SD = "bootstrap t, 199 draws", "profile likelihood of the animals' slope SD"
WITHIN_T, PAIRED_T = "t of sessions within animals", "paired t of animals"
POWER = {20: 0.54, 200: 0.627, 2000: 0.61}


@dataclass(frozen=True)
class Task:
    """Some simulated experiments: a table's cell, a part of its sets, and what is done with each."""

    table: str
    layout: Layout
    response_sd: float
    effect: float
    count: int
    seed: tuple[int, ...]

    def __str__(self) -> str:
        layout = self.layout
        return (
            f"{self.table}: {layout.animals} animals, {layout.neurons.mean:g} neurons, part {self.seed[-1]}"
        )


Hits = dict[str, tuple[int, int]]
Starts = dict[str, np.ndarray]
Work = Callable[[Moments, Task, int, Starts, np.random.Generator], Mapping[str, bool]]


def run(task: Task) -> Hits:
    """Return for each thing in how many experiments it was so, and in how many it was looked at."""
    rng = np.random.default_rng(task.seed)
    components = Components(**COMPONENTS, animal_response_sd=task.response_sd)
    found: Hits = {}
    starts: Starts = {}
    for place in range(task.count):
        moments = draw_moments(task.layout, components, effect=task.effect, rng=rng)
        for name, hit in WORK[task.table](moments, task, place, starts, rng).items():
            hits, sets = found.get(name, (0, 0))
            found[name] = hits + int(hit), sets + 1
    return found


def between_work(
    moments: Moments, task: Task, place: int, starts: Starts, rng: np.random.Generator
) -> dict[str, bool]:
    """Return which tests between animals reject."""
    found = by_hand(moments, task.layout)
    found |= by_model(moments, task.layout, MINIMAL, starts, rng)
    return {name: p < ALPHA for name, p in found.items()}


def crossover_work(
    moments: Moments, task: Task, place: int, starts: Starts, rng: np.random.Generator
) -> dict[str, bool]:
    """Return which formulas reject, by Kenward-Roger and by Satterthwaite, and two exact t tests."""
    found = {name: p < ALPHA for name, p in crossover_by_hand(moments, task.layout).items()}
    for formula in CROSSOVER:
        for name, p in by_model(moments, task.layout, formula, starts).items():
            found[f"{formula} {name}"] = p < ALPHA
    return found


def power_work(
    moments: Moments, task: Task, place: int, starts: Starts, rng: np.random.Generator
) -> dict[str, bool]:
    """Return whether Kenward-Roger rejects."""
    return {"power": by_model(moments, task.layout, MINIMAL, starts)["Kenward-Roger"] < ALPHA}


def coverage_work(
    moments: Moments, task: Task, place: int, starts: Starts, rng: np.random.Generator
) -> dict[str, bool]:
    """Return which intervals hold the truth; every fifth experiment has profiles, every tenth a bootstrap."""
    model, deviance, optimum, contrast = fitted(moments, task.layout, MINIMAL, starts)
    wald = inference(deviance, optimum, ddf="kenward-roger").t_test(contrast)
    half = float(stats.t.ppf(0.975, wald.df)) * wald.se
    found = {WALD: abs(wald.estimate - EFFECT) <= half}
    if place % 5 == 0:
        of_effect, of_sd = profile(
            model, deviance, optimum, terms=["drug:epoch", "sd_epoch|animal"], points=2
        ).intervals
        found[PROFILE] = of_effect.ci_low <= EFFECT <= of_effect.ci_high
        found[PROFILE_SD] = of_sd.ci_low <= ANIMAL_SLOPE <= of_sd.ci_high
    if place % 10 == 0:
        drawn = bootstrap(model, deviance, optimum, n=199, seed=int(rng.integers(1 << 30)), quiet=True)
        low, high = drawn.interval(contrast, kind="studentized")
        found[BOOTSTRAP] = low <= EFFECT <= high
    return found


def fitted(
    moments: Moments, layout: Layout, text: str, starts: Starts
) -> tuple[Model, Deviance, Optimum, np.ndarray]:
    """Return a model by REML and the contrast of drug by epoch; searches begin where the first one ended."""
    summaries = summaries_of(moments, layout, with_slope=False)
    model, deviance = reduced(summaries, read_formula(text), contrasts="treatment")
    contrast = np.array([float(set(model.terms[i]) == {"drug", "epoch"}) for i in model.term_of])
    optimum = optimise(deviance, method="reml", start=starts.get(text))
    if not optimum.converged:
        optimum = optimise(deviance, method="reml")
    starts.setdefault(text, optimum.theta)
    return model, deviance, optimum, contrast


def by_model(
    moments: Moments, layout: Layout, text: str, starts: Starts, rng: np.random.Generator | None = None
) -> dict[str, float]:
    """Return P values of drug by epoch from one fit; with ``rng`` also those that rest on clusters."""
    model, deviance, optimum, contrast = fitted(moments, layout, text, starts)
    found = {
        "LMM z": inference(deviance, optimum, ddf="none").t_test(contrast).p,
        "Satterthwaite": inference(deviance, optimum, ddf="satterthwaite").t_test(contrast).p,
        "Kenward-Roger": inference(deviance, optimum, ddf="kenward-roger").t_test(contrast).p,
    }
    if rng is None:
        return found
    cr1 = cluster_robust(model, deviance, optimum, kind="CR1").t_test(contrast)
    found["CR1 z"] = 2.0 * float(stats.norm.sf(abs(cr1.t)))
    cr2 = cluster_robust(model, deviance, optimum, kind="CR2").t_test(contrast)
    found["CR2, Bell-McCaffrey"] = cr2.p
    seed = int(rng.integers(1 << 30))
    found["wild (Webb)"] = wild_test(model, deviance, optimum, contrast, n=DRAWS, seed=seed).p
    dealt = permutation_test(model, deviance, "drug:epoch", max_arrangements=DRAWS, seed=seed)
    found["animal permutation"] = dealt.p
    return found


def by_hand(moments: Moments, layout: Layout) -> dict[str, float]:
    """Return P values of tests on changes of neurons and of sessions."""
    drug = layout.drug == 1
    change = moments.means[:, 1] - moments.means[:, 0]
    side = np.array([-1.0, 1.0])
    squares = side @ moments.scatter @ side
    n = moments.neurons
    arms = [(n[arm], change[arm], squares[arm]) for arm in (drug, ~drug)]
    totals = [count.sum() for count, _, _ in arms]
    means = [float(count @ each) / count.sum() for count, each, _ in arms]
    inside = sum(
        float(square.sum() + count @ (each - mean) ** 2)
        for (count, each, square), mean in zip(arms, means, strict=True)
    )
    df = sum(totals) - 2
    t = (means[0] - means[1]) / np.sqrt(inside / df * (1.0 / totals[0] + 1.0 / totals[1]))
    return {
        "neuron t": 2.0 * float(stats.t.sf(abs(t), df)),
        "session t": float(stats.ttest_ind(change[drug], change[~drug]).pvalue),
    }


def crossover_by_hand(moments: Moments, layout: Layout) -> dict[str, float]:
    """Return P values of t tests that are exact in the crossover.

    The first holds where animals respond alike (animals and drug as fixed effects on sessions' changes), the
    second always; the balanced mixed models come down to them unless a variance is estimated at zero.
    """
    change = (moments.means[:, 1] - moments.means[:, 0]).reshape(layout.n_animals, layout.sessions)
    drug = layout.drug.reshape(layout.n_animals, layout.sessions).astype(float)
    centred = change - change.mean(axis=1, keepdims=True)
    x = drug - drug.mean(axis=1, keepdims=True)
    slope = float((centred * x).sum() / (x * x).sum())
    df = layout.n_animals * (layout.sessions - 1) - 1
    se = np.sqrt(((centred - slope * x) ** 2).sum() / df / (x * x).sum())
    own = (centred * x).sum(axis=1) / (x * x).sum(axis=1)
    return {
        WITHIN_T: 2.0 * float(stats.t.sf(abs(slope / se), df)),
        PAIRED_T: float(stats.ttest_1samp(own, 0.0).pvalue),
    }


WORK: dict[str, Work] = {
    "between": between_work,
    "crossover": crossover_work,
    "power": power_work,
    "coverage": coverage_work,
}


def tasks_of(table: str, sets: int | None, seed: int) -> list[Task]:
    """Return the work of one table in parts of 50 sets."""
    cells: list[tuple[Layout, float, float, int]] = []
    match table:
        case "between":
            cells = [(Layout("between", n, 2, NeuronCounts(200)), 0.0, 0.0, 2000) for n in SIZES]
        case "crossover":
            cells = [(Layout("crossover", 6, 4, NeuronCounts(200)), sd, 0.0, 4000) for sd in RESPONSES]
        case "power":
            cells = [(Layout("between", 6, 2, NeuronCounts(n)), 0.0, EFFECT, 2000) for n in POWER]
        case "coverage":
            cells = [(Layout("between", n, 2, NeuronCounts(200)), 0.0, EFFECT, 600) for n in COVERED_SIZES]
    return [
        Task(table, layout, sd, effect, min(50, (sets or usual) - first), (seed, place, first // 50))
        for place, (layout, sd, effect, usual) in enumerate(cells)
        for first in range(0, sets or usual, 50)
    ]


def summed(tasks: Sequence[Task], workers: int) -> list[Hits]:
    """Return the hits of every cell."""
    outcomes = run_jobs(run, tasks, label=tasks[0].table, workers=workers)
    cells: dict[int, Hits] = {}
    for outcome in outcomes:
        if outcome.value is None:
            raise SystemExit(outcome.reason)
        own = cells.setdefault(outcome.item.seed[1], {})
        for name, (hits, sets) in outcome.value.items():
            before = own.get(name, (0, 0))
            own[name] = before[0] + hits, before[1] + sets
    return [cells[place] for place in sorted(cells)]


def cell(hits: Hits, name: str, stated: float | None, *, stated_sets: int, digits: int = 3) -> str:
    """Return our share, its standard error, the stated share, and whether they agree within 3 SE."""
    count, n = hits[name]
    share = count / n
    shown = f"{share:.3f} ({np.sqrt(share * (1.0 - share) / n):.3f})"
    if stated is None:
        return f"{shown}, none stated"
    pooled = (share * n + stated * stated_sets) / (n + stated_sets)
    se = np.sqrt(pooled * (1.0 - pooled) * (1.0 / n + 1.0 / stated_sets))
    beyond = max(abs(share - stated) - 0.5 * 10.0**-digits, 0.0)
    distance = beyond / se if se > 0.0 else 0.0 if beyond == 0.0 else np.inf
    return f"{shown}, stated {stated:g}: {distance:.1f} SE{'' if distance <= 3.0 else ' DIFFERS'}"


def main() -> None:
    """Print the tables that are asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tables", nargs="*", choices=[*WORK, []], help="default: all")
    parser.add_argument("--sets", type=int, help="simulated experiments per cell; default as stated")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    for table in asked.tables or WORK:
        started = time.perf_counter()
        tasks = tasks_of(table, asked.sets, asked.seed)
        cells = summed(tasks, asked.workers)
        sets = max(sets for _, sets in cells[0].values())
        print(f"\n{TITLES[table]} {sets} sets per cell; share (Monte-Carlo SE).\n")
        for line in TABLES[table](cells):
            print(line)
        print(f"\n{time.perf_counter() - started:.0f} s with {asked.workers} workers.", flush=True)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table."""
    return [f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows)]


def between_table(cells: list[Hits]) -> list[str]:
    """Return the table of tests between animals."""
    rows = [
        [
            name,
            *(
                cell(hits, name, stated, stated_sets=2000, digits=2 if name.endswith(" t") else 3)
                for hits, stated in zip(cells, values, strict=True)
            ),
        ]
        for name, values in BETWEEN.items()
    ]
    return markdown(["test", *(f"{n} per arm" for n in SIZES)], rows)


def crossover_table(cells: list[Hits]) -> list[str]:
    """Return the table of formulas in the crossover."""
    rows = []
    for formula, values in CROSSOVER.items():
        for test in ("Kenward-Roger", "Satterthwaite"):
            shown = [
                cell(
                    hits, f"{formula} {test}", stated, stated_sets=1000, digits=2 if formula == MINIMAL else 3
                )
                for hits, stated in zip(cells, values, strict=True)
            ]
            bars = formula.partition("epoch + ")[2].replace("|", "\\|")
            rows.append([f"`{bars}`", test, *shown])
    for name in (WITHIN_T, PAIRED_T):
        rows.append(["none", name, *(cell(hits, name, None, stated_sets=1) for hits in cells)])
    return markdown(["random effects", "test", *(f"responses differ by {sd:g}" for sd in RESPONSES)], rows)


def power_table(cells: list[Hits]) -> list[str]:
    """Return the power check."""
    rows = [
        [str(n), cell(hits, "power", stated, stated_sets=2000, digits=3 if n == 200 else 2)]
        for hits, (n, stated) in zip(cells, POWER.items(), strict=True)
    ]
    return markdown(["neurons per session", f"power at effect {EFFECT:g}, 6 per arm"], rows)


def coverage_table(cells: list[Hits]) -> list[str]:
    """Return the table of coverages."""
    rows = []
    for name in (WALD, PROFILE, BOOTSTRAP, PROFILE_SD):
        shown = []
        for hits in cells:
            count, n = hits[name]
            share = count / n
            shown.append(f"{share:.3f} ({np.sqrt(share * (1.0 - share) / n):.3f}), {n} sets")
        rows.append([name, *shown])
    return markdown(["95 % interval", *(f"{n} per arm" for n in COVERED_SIZES)], rows)


TITLES = {
    "between": "Type I error at 5 %, drug between animals, 2 sessions of 200 neurons.",
    "crossover": "Type I error at 5 %, 6 animals, 4 sessions each, drug alternating by session.",
    "power": "Power of Kenward-Roger, drug between animals, 2 sessions.",
    "coverage": "Coverage of 95 % intervals, drug between animals, 2 sessions of 200 neurons.",
}
TABLES: dict[str, Callable[[list[Hits]], list[str]]] = {
    "between": between_table,
    "crossover": crossover_table,
    "power": power_table,
    "coverage": coverage_table,
}


if __name__ == "__main__":
    main()
