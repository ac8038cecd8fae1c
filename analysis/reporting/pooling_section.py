"""Pooled effects: every animal of an arm, and every study of a meta-analysis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.figures.forest_figures import MAX_NAMED, forest_figure
from nwbswitch.analysis.figures.switch_figures import LABELS
from nwbswitch.analysis.reporting.blocks import Block, Heading, Picture, Pictures, Section, Table, Text
from nwbswitch.analysis.reporting.printed_numbers import (
    NONE,
    counted,
    interval,
    known,
    number,
    probability,
    short,
    signed,
)
from nwbswitch.analysis.reporting.verdict_sections import tested_first
from nwbswitch.analysis.runs.results_folder import Results

_Z95 = 1.959963984540054
_TESTS = {"knha": "Knapp-Hartung t intervals", "t": "t intervals", "z": "normal intervals"}


def pooling_section(results: Results) -> Section:
    """Return forest plots of animals by arm, and of whatever was pooled."""
    tested = [name for name in tested_first(results) if name != results.result["reference"]]
    drawn = [picture for name in tested or results.arms for picture in _animals(results, name)]
    blocks: list[Block] = [Pictures(drawn)] if drawn else []
    if not drawn:
        blocks.append(Text("No animal has an effect with an interval."))
    blocks += meta_blocks(results.metas, animals=set(results.estimates["animal"]) - {""})
    return Section("forest", "Forest plots", "animal by animal, and pooled", blocks)


def _animals(results: Results, arm: str) -> list[Picture]:
    result = results.result
    reference = result["arms"][arm]["reference"] or ""
    own = results.estimates[
        (results.estimates["cell_type"] == result["cell_type"]) & (results.estimates["arm"] == arm)
    ]
    # Arms of other animals have no difference within an animal; their state correlation is shown instead.
    for estimand, contrast in (("M", f"vs_{reference}"), ("rho_star", "drug"), ("rho_star", "pseudo")):
        rows = own[(own["estimand"] == estimand) & (own["contrast"] == contrast)]
        animals = rows[(rows["level"] == "animal") & rows["estimate"].notna()].sort_values("estimate")
        if animals.empty:
            continue
        whole_arm = rows[rows["level"] == "arm"].to_dict("records")
        pooled = _triple(whole_arm[0]) if whole_arm else None
        words = f" against {reference}" if estimand == "M" else ""
        name = f"{LABELS[estimand]}, {arm}{words}"
        figure = forest_figure(
            [str(animal) for animal in animals["animal"]],
            animals["estimate"].to_numpy(dtype=float),
            _end(animals, "ci_low", -1),
            _end(animals, "ci_high", 1),
            pooled=pooled,
            xlabel=name,
            margin=result["margin"] if estimand == "M" else None,
            animals=True,
            pooled_name="all animals",
        )
        caption = f"{name}. Squares: animals with 95 % intervals over neurons; diamond: all animals"
        caption += f", {interval(whole_arm[0])}." if whole_arm else "."
        if len(animals) > MAX_NAMED:
            caption += f" {len(animals)} animals are too many to name here."
        place = results.arms.index(arm)
        return [Picture(f"forest_{place}", figure, f"{name}, {len(animals)} animals.", caption)]
    return []


def _end(rows: pd.DataFrame, name: str, side: int) -> np.ndarray:
    """Return one end of the intervals; the normal one where only the standard error is known."""
    stated = rows[name].to_numpy(dtype=float)
    normal = rows["estimate"] + side * _Z95 * rows["se"]
    return np.where(np.isfinite(stated), stated, normal.to_numpy(dtype=float))


def meta_blocks(
    metas: Mapping[str, Mapping[str, Any]], *, animals: set[str], key: str = "meta"
) -> list[Block]:
    """Return pooled effects, each with its forest plot and numbers.

    Parameters
    ----------
    metas
        Results of meta-analyses by name.
    animals
        Names of animals, to point them out where they are the units.
    key
        Begins the names of the figures.
    """
    blocks: list[Block] = []
    for place, (name, meta) in enumerate(metas.items()):
        blocks.append(Heading(f"Pooled: {name}" if name != "meta" else "Pooled"))
        studies = [each for each in meta.get("studies") or () if isinstance(each, Mapping)]
        if studies:
            blocks.append(Pictures([_meta_picture(f"{key}_{place}", meta, studies, animals)]))
        else:
            blocks.append(Text(_meta_words(meta)))
        if len(meta.get("coefficients") or ()) > 1:
            blocks.append(_coefficients(meta["coefficients"]))
    return blocks


def _meta_picture(
    name: str, meta: Mapping[str, Any], studies: list[Mapping[str, Any]], animals: set[str]
) -> Picture:
    effects = np.array([number(each.get("effect")) for each in studies])
    errors = np.sqrt([number(each.get("variance")) for each in studies])
    labels = [str(each.get("label", "")) for each in studies]
    figure = forest_figure(
        labels,
        effects,
        effects - _Z95 * errors,
        effects + _Z95 * errors,
        pooled=_triple(meta),
        prediction=(number(meta.get("pi_low")), number(meta.get("pi_high"))),
        xlabel=_effect_name(meta.get("info") or {}),
        animals=bool(labels) and set(labels) <= animals,
    )
    where = (meta.get("info") or {}).get("where")
    pooled = "; diamond: pooled estimate; thin line: prediction interval"
    caption = (
        f"{_meta_words(meta)} Squares: effects with 95 % intervals"
        f"{pooled if meta.get('status', 'ok') == 'ok' else ''}."
        + (f" Rows of the estimates table: {where}." if where else "")
    )
    return Picture(name, figure, f"Forest plot of {counted(len(studies), 'effect')}.", caption)


def _meta_words(meta: Mapping[str, Any]) -> str:
    if meta.get("status", "ok") != "ok":
        return f"{meta['status']}."
    method = str(meta.get("method") or (meta.get("info") or {}).get("method") or "").upper()
    test = _TESTS.get(str(meta.get("test")), "")
    how = " with ".join(part for part in (method, test) if part)
    estimate = interval(meta) if known(meta.get("estimate")) else "no single effect"
    prediction = ""
    if known(meta.get("pi_low")) and known(meta.get("pi_high")):
        prediction = f", prediction interval {signed(meta['pi_low'])} to {signed(meta['pi_high'])}"
    return (
        f"Pooled{f' by {how}' if how else ''}: {estimate}{prediction}, τ² = {short(meta.get('tau2'))}, "
        f"I² = {short(meta.get('i2'))} %, k = {meta.get('k', NONE)}."
    )


def _coefficients(rows: list[Mapping[str, Any]]) -> Table:
    return Table(
        "Coefficients of the moderators.",
        ["Term", "Estimate (95 % CI)", "SE", "P"],
        [
            [str(row.get("term")), interval(row), short(row.get("se")), probability(row.get("p"))]
            for row in rows
        ],
    )


def _effect_name(info: Mapping[str, Any]) -> str:
    """Return the label of the estimand that the pooled rows were chosen by, else the effect's column."""
    chosen = [name for name in LABELS if f"'{name}'" in (info.get("where") or "")]
    return LABELS[chosen[0]] if len(chosen) == 1 else str(info.get("effect") or "effect")


def _triple(value: Mapping[str, Any]) -> tuple[float, float, float]:
    return number(value.get("estimate")), number(value.get("ci_low")), number(value.get("ci_high"))
