"""Mixed models of the results folder: formula, terms, tests and what to mind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nwbswitch.analysis.reporting.blocks import Block, Bullets, Heading, Section, Table, Text
from nwbswitch.analysis.reporting.printed_numbers import NONE, counted, known, probability, short, whole

_DDF = {
    "kenward-roger": "Kenward-Roger degrees of freedom",
    "satterthwaite": "Satterthwaite degrees of freedom",
    "none": "z tests",
}


def model_section(models: Mapping[str, Mapping[str, Any]]) -> Section:
    """Return all mixed models; a sentence when there are none."""
    if not models:
        words = "No mixed model was fitted here. Run nwbswitch fit with -o fit.json in the results folder."
        return Section("models", "Mixed models", "none fitted", [Text(words)])
    blocks: list[Block] = []
    for name, fit in models.items():
        if len(models) > 1 or name != "fit":
            blocks.append(Heading(name))
        blocks += model_blocks(fit)
    return Section("models", "Mixed models", counted(len(models), "model"), blocks)


def model_blocks(fit: Mapping[str, Any]) -> list[Block]:
    """Return one mixed model: formula, terms, spread between groups and what to mind."""
    info = fit.get("info") or {}
    formula = str(fit.get("formula", ""))
    response = formula.split("~")[0].strip()
    family = str(info.get("family") or fit.get("family") or "")
    kind = "Linear mixed model" if family in ("", "gaussian") else f"Mixed model of a {family} response"
    method = str(info.get("method") or fit.get("method") or "").upper()
    ddf = _DDF.get(str(info.get("ddf")), "")
    how = ", ".join(part for part in (kind, method, ddf) if part)
    singular = (
        " The fit is singular: a variance between animals or sessions is estimated as zero, and degrees of "
        "freedom then count neurons; read the P values with that in mind."
        if info.get("singular")
        else ""
    )
    rows = f", {whole(fit['n'])} rows" if known(fit.get("n")) else ""
    blocks: list[Block] = [
        Text(formula, "code"),
        Text(
            f"{how}{rows}. It asks one question only: whether the mean of {response} changes. A switch can "
            f"leave that mean where it was.{singular}"
        ),
        Table(
            "Fixed effects.",
            ["Term", "Estimate", "SE", "df", "P"],
            [
                [
                    str(row.get("term")),
                    short(row.get("estimate")),
                    short(row.get("se")),
                    f"{row['df']:.1f}" if known(row.get("df")) else NONE,
                    probability(row.get("p")),
                ]
                for row in fit.get("fixed") or ()
            ],
        ),
    ]
    if random := fit.get("random"):
        blocks.append(
            Table(
                "Standard deviations between groups.",
                ["Group", "Term", "SD"],
                [[str(row.get("group")), str(row.get("term")), short(row.get("sd"))] for row in random],
                n_words=2,
            )
        )
    if warnings := [str(each) for each in info.get("warnings") or ()]:
        blocks.append(Bullets(warnings, "bad"))
    return blocks
