"""Robustness: the specification curve of every tested arm, in words and as a figure."""

from __future__ import annotations

from nwbswitch.analysis.figures.specification_figures import (
    specification_counts,
    specification_figure,
    varied,
)
from nwbswitch.analysis.figures.switch_figures import LABELS, arm_colours
from nwbswitch.analysis.reporting.blocks import Block, Folded, Picture, Pictures, Section, Text, figure_name
from nwbswitch.analysis.reporting.printed_numbers import counted, signed
from nwbswitch.analysis.reporting.verdict_sections import tested_first
from nwbswitch.analysis.reporting.words import verdict_words
from nwbswitch.analysis.runs.results_folder import Results

_ESTIMANDS = ("M", "SW", "rho_star")


def specification_section(results: Results) -> Section:
    """Return the specification curves; a sentence when there are none."""
    title = "Robustness"
    table = results.specifications
    if table is None or table.empty:
        words = (
            "Other specifications of the analysis were not run here. A plan with a part called robustness "
        )
        return Section(
            "robustness",
            title,
            "not run",
            [Text(words + "runs them: thresholds, neuropil, windows, ROIs, frames and detection limits.")],
        )
    own = table[table["cell_type"] == results.result["cell_type"]]
    colours = arm_colours(results.arms, results.reference)
    blocks: list[Block] = [
        Text(
            "The whole analysis under other defensible choices. The line in colour is the specification of "
            "the plan; the others say how much hangs on it. None of them was selected. Varied: "
            + (", ".join(varied(own[own["arm"] == tested_first(results)[0]])) or "nothing")
            + "."
        )
    ]
    gists = []
    for arm in tested_first(results):
        of_arm = own[own["arm"] == arm]
        shown: list[Picture] = []
        for estimand in _ESTIMANDS:
            rows = of_arm[of_arm["estimand"] == estimand]
            if rows.empty or arm == results.result["reference"]:
                continue
            contrasts = sorted(rows["contrast"].unique(), key=lambda name: (name == "drug", name))
            contrast = "drug" if estimand == "rho_star" and "drug" in contrasts else contrasts[0]
            rows = rows[rows["contrast"] == contrast]
            counts = specification_counts(rows)
            range_words = "no estimate"
            if counts["low"] is not None:
                range_words = f"{signed(counts['low'])} to {signed(counts['high'])}"
            name = f"{LABELS[estimand]}, {arm}"
            shown.append(
                Picture(
                    figure_name("specifications", str(results.arms.index(arm)), estimand),
                    specification_figure(
                        rows,
                        estimand,
                        arm=arm,
                        contrast=contrast,
                        margin=results.result["margin"] if estimand != "SW" else None,
                        colour=colours[arm],
                    ),
                    f"Specification curve: {name} under {counted(counts['n'], 'specification')}, "
                    f"{range_words}.",
                    f"{name}: {range_words} over {counted(counts['n'], 'specification')}"
                    + (
                        f", {counts['n_without']} without an estimate (crosses)"
                        if counts["n_without"]
                        else ""
                    )
                    + ". Above: estimates with 95 % intervals; below: the choices behind each.",
                    wide=True,
                )
            )
        if shown:
            verdicts = of_arm.drop_duplicates("specification")["verdict"].value_counts()
            said = ", ".join(f"{count} {verdict_words(str(word))}" for word, count in verdicts.items())
            n = counted(int(verdicts.sum()), "specification")
            blocks += [Text(f"Verdicts of {arm} over {n}: {said}."), Pictures(shown[:1])]
            if len(shown) > 1:
                blocks.append(Folded(f"Curves of the other estimands, {arm}", [Pictures(shown[1:])]))
            top = verdicts.index[0]
            gists.append(f"{arm}: {verdict_words(str(top))} in {verdicts.iloc[0]} of {verdicts.sum()}")
    return Section("robustness", title, "; ".join(gists), blocks)
