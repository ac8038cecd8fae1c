"""What stands on the page of the report: figures, tables and sentences, ready for the template."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.figures import switch_figures as figures
from nwbswitch.analysis.reporting.clocks import clocks_section
from nwbswitch.analysis.reporting.words import (
    VERDICT_WORDS,
    failed_controls,
    headline,
    methods,
    reason,
    signed,
    typeset,
)
from nwbswitch.analysis.runs.results_folder import Results
from nwbswitch.schemas.version import __version__

_ESTIMANDS = ("rho_star", "M", "SW", "R_act", "R_sil", "G", "tau_c")
_NAIVE = {
    "down_pct": "naive % down",
    "up_pct": "naive % up",
    "p_active_after_silent": "P(active after | silent before)",
    "corr": "correlation of change with baseline",
}


def page(results: Results) -> dict[str, Any]:
    """Return all values that the template shows."""
    result = results.result
    primary = results.estimates[results.estimates["cell_type"] == result["cell_type"]]
    outcomes = [each["outcome"] for arm in result["arms"].values() for each in arm["controls"].values()]
    possible = len(outcomes) - outcomes.count("impossible")
    failed = failed_controls(result)
    tested_first = [*results.arms[1:], results.arms[0]]
    facts = [
        {"value": result["n_animals"], "label": _counted(result["n_animals"], "animal")},
        {"value": result["n_sessions"], "label": _counted(result["n_sessions"], "recording session")},
        {"value": result["n_neurons"], "label": _cells(result["cell_type"])},
        {
            "value": f"{len(failed)} of {possible}" if possible else "none",
            "label": "failed controls" if possible else "negative control possible",
            "bad": bool(failed) or not possible,
        },
    ]
    return {
        "title": f"{result['dataset']}: {headline(result)}",
        "simulated": bool(result["simulated"]),
        "study": result["dataset"],
        "sentence": headline(result),
        "facts": facts,
        "failed": failed,
        "main_figures": _main_figures(results, primary),
        "main_caption": _main_caption(results),
        "design": result["design"],
        "arms": [_arm(name, result["arms"][name]) for name in tested_first],
        "estimate_tables": [_estimate_table(name, result["arms"][name]) for name in tested_first],
        "naive": _naive(results),
        "neuron_figures": _neuron_figures(results),
        "control_figures": _control_figures(results, primary),
        "controls": _controls(results),
        "forest": _forest(results),
        "forest_missing": "Nothing was pooled: an effect against a reference arm in two animals or "
        "more is needed.",
        "model": _model(results.fit),
        "model_missing": "No mixed model was fitted here. Run nwbswitch fit with -o fit.json in the "
        "results folder.",
        "clocks": clocks_section(results.clocks, n_sessions=result["n_sessions"]),
        "methods": methods(result, results.measured, __version__),
        "provenance": json.dumps(result.get("provenance", {}), indent=1, ensure_ascii=False),
        "sources": _sources(results.cells),
        "estimates_uri": _csv_uri(results.estimates),
    }


def _main_figures(results: Results, estimates: pd.DataFrame) -> list[dict[str, str]]:
    drawn = []
    for estimand, margin in (("rho_star", results.result["margin"]), ("SW", None)):
        figure = figures.animals_figure(
            estimates,
            estimand,
            arms=results.arms,
            reference=results.reference,
            margin=margin,
            contrast=results.contrast,
        )
        words = f"{figures.LABELS[estimand]} of every animal in {' and '.join(results.arms)}."
        drawn.append({"svg": figures.svg(figure, description=words)})
    return drawn


def _main_caption(results: Results) -> str:
    joined = "Lines join the recordings of one animal. " if len(results.arms) > 1 else ""
    return (
        f"One dot is one animal. {joined}Diamonds are the estimate of the arm with its 95 % interval. "
        "ρ* is 1 when the same neurons stay active, 0 when activity is dealt anew and negative when "
        "active and silent neurons change places; the band is the margin of "
        f"±{results.result['margin']:g}. SW is 0 under any common gain."
    )


def _arm(name: str, arm: Mapping[str, Any]) -> dict[str, Any]:
    reasons = [reason(each) for each in arm["reasons"]]
    return {"name": name, "verdict_words": VERDICT_WORDS[arm["verdict"]], "reasons": reasons}


def _estimate_table(name: str, arm: Mapping[str, Any]) -> dict[str, Any]:
    windows = (
        "drug window against baseline" if arm["contrast"] == "drug" else "pseudo-injection in the baseline"
    )
    against = arm["against_reference"]
    left_out = f", {arm['n_neurons_left_out']} of them left out" if arm["n_neurons_left_out"] else ""
    animals = f"{arm['n_animals']} {_counted(arm['n_animals'], 'animal')}"
    if lost := arm.get("n_animals_without_windows", 0):
        animals += f" ({lost} more without valid frames in both windows)"
    rows = []
    for estimand in _ESTIMANDS:
        own = arm["estimands"].get(estimand)
        difference = against.get(estimand)
        if own is None and difference is None:
            continue
        label = figures.LABELS[estimand]
        if estimand == "tau_c" and own is not None:
            label += f", least favourable k = {own['k']}"
        own = None if estimand == "M" else own
        compared = [_interval(difference)] if against else []
        rows.append([label, _interval(own), *compared, _p(difference or own)])
    return {
        "caption": f"{name}: {windows}, {animals}, {arm['n_neurons']} neurons{left_out}",
        "head": [
            "Estimand",
            "Estimate (95 % CI)",
            *([f"Against {arm['reference']} (95 % CI)"] if against else []),
            "P",
        ],
        "rows": rows,
    }


def _naive(results: Results) -> dict[str, Any]:
    rows = []
    for key, label in _NAIVE.items():
        values = [results.result["arms"][arm]["naive"].get(key) for arm in results.arms]
        shown = (lambda value: f"{value:.0f}") if key.endswith("pct") else signed
        rows.append([label, *("–" if value is None else shown(value) for value in values)])
    reference = results.result["reference"]
    beside = f"Read the other columns only beside {reference}." if reference else "There is no reference arm."
    return {"head": ["Naive measure", *results.arms], "rows": rows, "beside": beside}


def _neuron_figures(results: Results) -> list[dict[str, str]]:
    colours = figures.arm_colours(results.arms, results.reference)
    cells = results.cells[results.cells["cell_type"] == results.result["cell_type"]]
    drawn = []
    for arm in results.arms:
        label = "" if arm == "none" else arm
        own = cells[cells["arm"] == label]
        windows = figures.window_pair(own)
        if windows is None:
            continue
        figure = figures.neurons_figure(own, arm, windows=windows, colour=colours[arm])
        words = f"Event rate of every neuron before and after, {arm}."
        drawn.append({"svg": figures.svg(figure, description=words)})
    return drawn


def _control_figures(results: Results, estimates: pd.DataFrame) -> list[dict[str, str]]:
    drawn = []
    for estimand in ("rho_star", "SW"):
        figure = figures.controls_figure(estimates, estimand, arms=results.arms, reference=results.reference)
        words = f"{figures.LABELS[estimand]} in the drug window and in the pseudo-injection of each arm."
        drawn.append({"svg": figures.svg(figure, description=words)})
    return drawn


def _controls(results: Results) -> list[dict[str, str]]:
    css = {"failed": "failed-word", "passed": "passed"}
    return [
        {
            "name": name,
            "arm": arm,
            "outcome": control["outcome"],
            "css": css.get(control["outcome"], "impossible"),
            "sentence": typeset(control["sentence"]),
        }
        for arm in results.arms
        for name, control in results.result["arms"][arm]["controls"].items()
    ]


def _forest(results: Results) -> dict[str, str] | None:
    if results.meta is None:
        return None
    meta = results.meta
    studies = meta["studies"]
    figure = figures.forest_figure(
        [each["label"] for each in studies],
        np.array([each["effect"] for each in studies]),
        np.sqrt([each["variance"] for each in studies]),
        pooled=_triple(meta, "estimate", "ci_low", "ci_high"),
        prediction=(_number(meta["pi_low"]), _number(meta["pi_high"])),
        xlabel=_effect_name(meta["info"]),
    )
    caption = (
        f"Pooled by {meta['method'].upper()} with {_TESTS[meta['test']]}: {_interval(meta)}, "
        f"τ² = {_plain(meta['tau2'])}, I² = {_plain(meta['i2'])} %, k = {meta['k']}. Squares: effects "
        "with 95 % intervals; diamond: pooled estimate; thin line: prediction interval. Rows of the "
        f"estimates table: {meta['info']['where'] or 'all'}."
    )
    return {
        "svg": figures.svg(figure, description=f"Forest plot of {meta['k']} effects."),
        "caption": caption,
    }


def _effect_name(info: Mapping[str, Any]) -> str:
    """Return the label of the estimand that the pooled rows were chosen by, else the effect's column."""
    chosen = [name for name in figures.LABELS if f"'{name}'" in (info["where"] or "")]
    return figures.LABELS[chosen[0]] if len(chosen) == 1 else str(info["effect"])


_TESTS = {"knha": "Knapp-Hartung t intervals", "t": "t intervals", "z": "normal intervals"}


_DDF = {
    "kenward-roger": "Kenward-Roger degrees of freedom",
    "satterthwaite": "Satterthwaite degrees of freedom",
    "none": "z tests",
    None: "degrees of freedom not stated",
}


def _model(fit: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if fit is None:
        return None
    rows = [
        [
            row["term"],
            _plain(row["estimate"]),
            _plain(row["se"]),
            "–" if row["df"] is None else f"{row['df']:.1f}",
            _p(row),
        ]
        for row in fit["fixed"]
    ]
    info = fit["info"]
    singular = (
        " The fit is singular: a variance between animals or sessions is estimated as zero, and degrees of "
        "freedom then count neurons; read the P values with that in mind."
        if info.get("singular")
        else ""
    )
    response = fit["formula"].split("~")[0].strip()
    return {
        "formula": fit["formula"],
        "sentence": f"Linear mixed model, {info.get('method', 'reml').upper()}, {_DDF[info.get('ddf')]}, "
        f"{fit['n']} rows. It asks one question only: whether the mean of {response} changes. A "
        f"switch can leave that mean where it was.{singular}",
        "head": ["Term", "Estimate", "SE", "df", "P"],
        "rows": rows,
        "warnings": list(info.get("warnings", [])),
    }


def _sources(cells: pd.DataFrame) -> list[dict[str, Any]]:
    neuron = cells["plane"] + "/" + cells["neuron"].astype(str)
    keys = ["source", "source_digest", "arm"]
    counts = cells.assign(neuron=neuron).groupby(keys, sort=True)["neuron"].nunique().reset_index()
    return [
        {
            "file": Path(row["source"]).name,
            "digest": row["source_digest"],
            "arm": row["arm"] or "none",
            "neurons": row["neuron"],
        }
        for row in counts.to_dict("records")
    ]


def _csv_uri(frame: pd.DataFrame) -> str:
    text = frame.to_csv(index=False, float_format="%.10g")
    return "data:text/csv;base64," + base64.b64encode(text.encode()).decode()


def _interval(value: Mapping[str, Any] | None) -> str:
    if value is None:
        return "–"
    if value.get("estimate") is None:
        return str(value.get("status") or "not estimable")
    if value.get("ci_low") is None:
        return signed(value["estimate"])
    return f"{signed(value['estimate'])} ({signed(value['ci_low'])} to {signed(value['ci_high'])})"


def _p(value: Mapping[str, Any] | None) -> str:
    p = None if value is None else value.get("p")
    if p is None:
        return "–"
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}"


def _plain(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _triple(value: Mapping[str, Any], *names: str) -> tuple[float, float, float]:
    first, second, third = (_number(value[name]) for name in names)
    return first, second, third


def _counted(n: int, noun: str) -> str:
    return noun if n == 1 else noun + "s"


def _cells(cell_type: str) -> str:
    return "neurons of unknown type" if cell_type == "unknown" else f"{cell_type} neurons"
