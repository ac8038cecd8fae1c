"""Why the verdict is what it is, the estimates behind it, and naive fractions for comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from nwbswitch.analysis.figures import switch_figures as figures
from nwbswitch.analysis.figures.exploratory_figures import naive_figure
from nwbswitch.analysis.reporting.blocks import (
    Block,
    Bullets,
    Folded,
    Heading,
    Picture,
    Pictures,
    Section,
    Table,
    Text,
    figure_name,
)
from nwbswitch.analysis.reporting.printed_numbers import (
    NONE,
    counted,
    interval,
    known,
    number,
    probability,
    signed,
    whole,
)
from nwbswitch.analysis.reporting.words import counted_controls, reason, typeset, verdict_words
from nwbswitch.analysis.runs.results_folder import Results

_ESTIMANDS = ("rho_star", "M", "SW", "R_act", "R_sil", "G", "tau_c")
_NAIVE = {
    "naive_down": ("naive % down", 100.0),
    "naive_up": ("naive % up", 100.0),
    "naive_p_active_after_silent": ("P(active after | silent before)", 1.0),
    "naive_corr": ("correlation of change with baseline", 1.0),
}
_EXPLORATORY = {
    "overlap_log_or": "Overlap of active neurons, log odds ratio",
    "overlap_log_or_ceiling": "Overlap between halves (its ceiling), log odds ratio",
    "overlap_ratio": "Overlap as a part of its ceiling",
    "overlap_dice": "Overlap, Dice coefficient",
    "overlap_dice_chance": "Overlap by chance, Dice coefficient",
    "overlap_dice_ceiling": "Overlap between halves (its ceiling), Dice coefficient",
    "beta_iv": "Slope of after on before, by instrumental variable",
    "rho_log": "State correlation of log rates",
    "active_to_silent": "P(silent after | active before), corrected",
    "silent_to_active": "P(active after | silent before), corrected",
    "active_to_silent_naive": "P(silent after | active before), naive",
    "silent_to_active_naive": "P(active after | silent before), naive",
}
_NAIVE_KINDS = (
    ("", "drug", "drug window"),
    ("", "pseudo", "pseudo-injection"),
    ("_within_baseline", "drug", "two halves of the baseline"),
)
_INSIDE = ("pseudo", "vs_pseudo")
"""Contrasts inside a baseline."""


def verdict_section(results: Results) -> Section:
    """Return every step of the rule with its numbers, the tested arms first."""
    arms = results.result["arms"]
    blocks: list[Block] = [Text(results.result["design"])]
    for name in tested_first(results):
        blocks += [
            Heading(name, verdict_words(arms[name]["verdict"])),
            Bullets([reason(each) for each in arms[name]["reasons"]]),
        ]
    gist = "; ".join(f"{name}: {verdict_words(arms[name]['verdict'])}" for name in tested_first(results))
    return Section("why", "Why this verdict", gist, blocks)


def estimates_section(results: Results) -> Section:
    """Return all estimands of the primary cell type, with every animal in figures."""
    result = results.result
    own = results.estimates[results.estimates["cell_type"] == result["cell_type"]]
    drawn = [
        Picture(
            figure_name("animals", estimand),
            figures.animals_figure(
                own, estimand, arms=results.arms, reference=results.reference, contrast=results.contrast
            ),
            f"{figures.LABELS[estimand]} of every animal in {' and '.join(results.arms)}.",
        )
        for estimand in ("SW", "R_act", "R_sil", "G")
    ]
    blocks: list[Block] = [
        Text(
            "The primary test is that of M, excess remapping. SW is 0 under any gain that all neurons share; "
            "R_act and R_sil are the log2 responses of neurons that were active and silent in the other half "
            "of the baseline."
        ),
        Pictures(drawn),
        *(_estimate_table(name, result["arms"][name]) for name in tested_first(results)),
    ]
    if exploratory := _exploratory(results, own):
        blocks.append(Folded("Exploratory estimates: no claim rests on them", [exploratory]))
    return Section("estimates", "Estimates", "effect sizes with 95 % intervals, every animal", blocks)


def _estimate_table(name: str, arm: Mapping[str, Any]) -> Table:
    windows = (
        "drug window against baseline" if arm["contrast"] == "drug" else "pseudo-injection in the baseline"
    )
    against = arm["against_reference"]
    left_out = (
        f", {whole(arm['n_neurons_left_out'])} of them left out" if arm.get("n_neurons_left_out") else ""
    )
    animals = counted(arm["n_animals"], "animal")
    if lost := arm.get("n_animals_without_windows", 0):
        animals += f" ({lost} more without valid frames in both windows)"
    rows = []
    for estimand in _ESTIMANDS:
        own = arm["estimands"].get(estimand)
        difference = against.get(estimand)
        if own is None and difference is None:
            continue
        label = figures.LABELS[estimand]
        if estimand == "tau_c" and own is not None and "k" in own:
            label += f", least favourable k = {own['k']}"
        own = None if estimand == "M" else own
        compared = [interval(difference)] if against else []
        rows.append([label, interval(own), *compared, probability((difference or own or {}).get("p"))])
    head = ["Estimand", "Estimate (95 % CI)"]
    head += [f"Against {arm['reference']} (95 % CI)"] if against else []
    return Table(
        f"{name}: {windows}, {animals}, {whole(arm['n_neurons'])} neurons{left_out}", [*head, "P"], rows
    )


def _exploratory(results: Results, own: pd.DataFrame) -> Table | None:
    if "role" not in own.columns:
        return None
    rows = own[(own["role"] == "exploratory") & (own["level"] == "arm") & ~own["contrast"].isin(_INSIDE)]
    rows = rows[~rows["estimand"].isin(_ESTIMANDS) & ~rows["estimand"].str.startswith("naive_")]
    if rows.empty:
        return None
    columns = [
        (arm, contrast)
        for arm in results.arms
        for contrast in sorted(rows.loc[rows["arm"] == arm, "contrast"].unique())
    ]
    found = {(row["estimand"], row["k"], row["arm"], row["contrast"]): row for row in rows.to_dict("records")}
    names = list(dict.fromkeys((estimand, k) for estimand, k, _, _ in found))
    shown = [
        [
            _EXPLORATORY.get(str(estimand), str(estimand).replace("_", " ")) + (f", k = {k}" if k else ""),
            *(interval(found.get((estimand, k, *column))) for column in columns),
        ]
        for estimand, k in names
    ]
    heads = [
        arm if contrast == "drug" else f"{arm} against {contrast.removeprefix('vs_')}"
        for arm, contrast in columns
    ]
    return Table("Exploratory estimates (95 % CI), all animals.", ["Estimand", *heads], shown)


def naive_section(results: Results) -> Section:
    """Return naive fractions beside those of the reference arm and of the baseline itself."""
    primary = results.estimates[results.estimates["cell_type"] == results.result["cell_type"]]
    own = primary[(primary["level"] == "arm") & primary["contrast"].isin(["drug", "pseudo"])]
    values = {
        (row["estimand"], row["arm"], row["contrast"]): row["estimate"] for row in own.to_dict("records")
    }
    columns = [
        (arm, kind, contrast, words)
        for kind, contrast, words in _NAIVE_KINDS
        for arm in results.arms
        if any((estimand + kind, arm, contrast) in values for estimand in _NAIVE)
    ]
    rows = []
    for estimand, (label, factor) in _NAIVE.items():
        row = [label]
        for arm, kind, contrast, _ in columns:
            value = number(values.get((estimand + kind, arm, contrast)))
            if not known(value):
                row.append(NONE)
            else:
                row.append(f"{factor * value:.0f}" if factor > 1 else signed(value))
        rows.append(row)
    reference = results.result["reference"]
    beside = f"Read the other columns only beside {reference}." if reference else "There is no reference arm."
    blocks: list[Block] = [
        Text(
            "Counting neurons against the baseline that classified them finds change where there is none "
            f"(regression to the mean). {beside} The two halves of one baseline show what counting noise "
            "alone does in half the time."
        )
    ]
    drawn = [_naive_picture(results, primary, name) for name in ("down", "up") if _has_halves(primary, name)]
    if drawn:
        blocks.append(Pictures(drawn))
    if columns:
        head = ["Naive measure", *(f"{arm}, {words}" for arm, _, _, words in columns)]
        blocks.append(Table("Naive fractions, for comparison only.", head, rows))
    return Section("naive", "Naive fractions, for comparison only", "what counting up and down says", blocks)


def _has_halves(estimates: pd.DataFrame, name: str) -> bool:
    own = estimates[estimates["estimand"] == f"naive_{name}_halves"]
    return bool(own["estimate"].notna().any())


def _naive_picture(results: Results, estimates: pd.DataFrame, name: str) -> Picture:
    figure = naive_figure(estimates, name, arms=results.arms, reference=results.reference)
    figure.axes[0].set_ylabel(f"Share of neurons counted as {name}")
    words = f"Naive share of neurons counted as {name} in each arm, beside two halves of the baseline."
    return Picture(figure_name("naive", name), figure, words)


def tested_first(results: Results) -> list[str]:
    """Return the arms, the reference last."""
    return [*results.arms[1:], results.arms[0]]


def control_section(results: Results) -> Section:
    """Return the negative controls beside the effect."""
    result = results.result
    own = results.estimates[results.estimates["cell_type"] == result["cell_type"]]
    colours = figures.arm_colours(results.arms, results.reference)
    drawn: list[Picture] = []
    for name in tested_first(results):
        arm = result["arms"][name]
        effect = arm["against_reference"].get("M")
        # N3 exchanges labels: its number is the effect itself, and its outcome is in the table.
        checks = {key: control.get("m") for key, control in arm["controls"].items() if key != "N3"}
        if effect is None or not checks or name == result["reference"]:
            continue
        drawn.append(
            Picture(
                figure_name("controls_m", str(len(drawn))),
                figures.checks_figure(
                    effect, checks, margin=result["margin"], title=name, colour=colours[name]
                ),
                f"Excess remapping M of {name}: {interval(effect)}, beside its negative controls.",
                f"Excess remapping under {name} (filled) beside what the negative controls show (rings), "
                "with 95 % intervals. Controls should lie in the band. N3, which exchanges labels, has "
                "no such number.",
            )
        )
    drawn += [
        Picture(
            figure_name("controls", estimand),
            figures.controls_figure(own, estimand, arms=results.arms, reference=results.reference),
            f"{figures.LABELS[estimand]} in the drug window and in the pseudo-injection of each arm.",
            "Filled: drug window against baseline. Rings: a pseudo-injection inside the baseline.",
        )
        for estimand in ("rho_star", "SW")
    ]
    order = {name: place for place, name in enumerate(tested_first(results))}
    controls = sorted(counted_controls(result), key=lambda each: (order[each[0]], each[1]))
    tones = {"failed": "failed", "passed": "passed"}
    blocks: list[Block] = [Pictures(drawn)]
    if controls:
        blocks.append(
            Table(
                "What must not be there where no drug is.",
                ["Control", "Arm", "What was seen", "Outcome"],
                [[name, arm, typeset(each["sentence"]), each["outcome"]] for arm, name, each in controls],
                n_words=4,
                tones=[tones.get(each["outcome"], "open") for _, _, each in controls],
            )
        )
    else:
        blocks.append(Text("No negative control could be had: there is no drug window to check."))
    return Section("controls", "Negative controls beside the effect", "", blocks)
