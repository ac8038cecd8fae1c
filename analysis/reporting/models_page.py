"""The page of models alone: the question of each, its answer, and what regression to the mean makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nwbswitch.analysis.figures.forest_figures import forest_figure
from nwbswitch.analysis.reporting.blocks import (
    Block,
    Bullets,
    Heading,
    Picture,
    Pictures,
    Section,
    Table,
    Text,
    figure_name,
)
from nwbswitch.analysis.reporting.first_screen import Fact, FirstScreen
from nwbswitch.analysis.reporting.model_section import model_blocks
from nwbswitch.analysis.reporting.printed_numbers import interval, known, number, probability, short, whole
from nwbswitch.analysis.reporting.words import plan_sentence, typeset

MAX_SHOWN = 4
"""Contrasts that are told in a sentence; more are in the table only."""
MAX_LABEL = 40
MINUS = "\u2212"


def models_screen(
    models: Mapping[str, Mapping[str, Any]], plan: Mapping[str, Any], status: Mapping[str, Any] | None
) -> FirstScreen:
    """Return the first screen of models: the question, the answer of the first one, and its contrasts.

    Parameters
    ----------
    models
        JSON of each model by name, in the order of the plan.
    plan
        The plan.
    status
        Whether the plan was frozen.
    """
    first = next(iter(models.values()), {})
    name = next(iter(models), "")
    return FirstScreen(
        name=str(plan.get("question") or plan.get("name", "")),
        sentence=f"{_capital(name)}: {answer_sentence(first)}." if first else "No model could be fitted.",
        facts=(
            Fact(whole(len(models)), "model" if len(models) == 1 else "models"),
            Fact(whole(first.get("n") or 0), f"rows in {name}" if name else "rows"),
            *_groups(first),
        ),
        failures=(),
        plan=plan_sentence(status),
        plan_is_bad=status is not None and status.get("status") == "changed",
        picture=contrast_picture(name, first, key="main"),
    )


def _groups(model: Mapping[str, Any]) -> list[Fact]:
    groups = (model.get("info") or {}).get("groups") or {}
    outer = list(groups.items())[-1:] if isinstance(groups, Mapping) else []
    return [Fact(whole(n), f"groups of {name}") for name, n in outer]


def models_sections(models: Mapping[str, Mapping[str, Any]], plan: Mapping[str, Any]) -> list[Section]:
    """Return one section for each model."""
    questions = {each["name"]: each.get("question", "") for each in plan.get("models") or ()}
    return [
        Section(
            figure_name("model", name),
            _capital(name),
            answer_sentence(model),
            _blocks(name, model, str(questions.get(name) or "")),
        )
        for name, model in models.items()
    ]


def _blocks(name: str, model: Mapping[str, Any], question: str) -> list[Block]:
    blocks: list[Block] = [Text(question)] if question else []
    if sentence := terms_sentence(model):
        blocks.append(Text(f"Tests of terms: {sentence}."))
    picture = contrast_picture(name, model, key="model")
    if picture is not None:
        blocks.append(Pictures([picture]))
    blocks += contrast_blocks(model)
    blocks += change_blocks(model)
    return [*blocks, Heading("The model"), *model_blocks(model)]


def answer_sentence(model: Mapping[str, Any]) -> str:
    """Return the contrasts of a model and its highest interaction in one sentence."""
    contrasts = (model.get("contrasts") or {}).get("contrasts") or ()
    shown = [f"{_label(each)} {interval(each)}" for each in contrasts if known(each.get("estimate"))]
    if not shown or len(shown) > MAX_SHOWN:
        return terms_sentence(model)
    rows = [
        each for each in model.get("anova") or () if ":" in str(each.get("term")) and known(each.get("p"))
    ]
    highest = max(rows, key=lambda row: str(row["term"]).count(":"), default=None)
    words = "" if highest is None else f"; {_term(highest)} P {_p(highest['p'])}"
    return f"{'; '.join(shown)}{words}"


def _term(row: Mapping[str, Any]) -> str:
    return typeset(str(row["term"]).replace(":", " × "))


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def terms_sentence(model: Mapping[str, Any]) -> str:
    """Return the tests of the terms of a model in one sentence, interactions first."""
    rows = sorted(model.get("anova") or (), key=lambda row: -str(row.get("term")).count(":"))
    parts = [
        f"{_term(row)} F({row['num_df']:g}, {row['den_df']:.1f}) = {short(row['f'])}, P {_p(row['p'])}"
        for row in rows
        if known(row.get("f")) and known(row.get("p")) and known(row.get("den_df"))
    ]
    return "; ".join(parts)


def _p(value: float) -> str:
    text = probability(value)
    return text if text.startswith("<") else f"= {text}"


def contrast_picture(name: str, model: Mapping[str, Any], *, key: str) -> Picture | None:
    """Return the contrasts of a model as a forest; None when none were asked for."""
    rows = [
        each for each in (model.get("contrasts") or {}).get("contrasts") or () if known(each.get("estimate"))
    ]
    if not rows:
        return None
    labels = [_label(each) for each in rows]
    values, lows, highs = (
        np.array([number(each.get(column)) for each in rows]) for column in ("estimate", "ci_low", "ci_high")
    )
    response = str(model.get("formula", "")).partition("~")[0].strip()
    xlabel = response if len(response) <= MAX_LABEL else f"difference in {name}"
    figure = forest_figure(labels, values, lows, highs, pooled=None, xlabel=xlabel)
    words = "; ".join(f"{label} {short(value)}" for label, value in zip(labels, values, strict=True))
    return Picture(
        figure_name(key, name, "contrasts"),
        figure,
        f"Contrasts of the marginal means of {name}: {words}.",
        f"{name}: contrasts of marginal means with 95 % intervals.",
    )


def _label(row: Mapping[str, Any]) -> str:
    by = [str(value) for column, value in row.items() if isinstance(value, str) and column != "contrast"]
    contrast = typeset(str(row["contrast"]).replace(" - ", f" {MINUS} "))
    return f"{contrast} in {', '.join(by)}" if by else contrast


def contrast_blocks(model: Mapping[str, Any]) -> list[Block]:
    """Return marginal means and their contrasts as tables; nothing when they were not asked for."""
    found: list[Block] = []
    means = (model.get("marginal_means") or {}).get("means") or ()
    if means:
        rows = [
            [
                ", ".join(str(value) for value in each.values() if isinstance(value, str)),
                short(each.get("emmean")),
                f"{short(each.get('ci_low'))} to {short(each.get('ci_high'))}",
                probability(each.get("p")),
            ]
            for each in means
        ]
        found.append(Table("Marginal means.", ["Level", "Mean", "95 % CI", "P"], rows))
    contrasts = (model.get("contrasts") or {}).get("contrasts") or ()
    if contrasts:
        adjust = (model.get("contrasts") or {}).get("adjust")
        rows = [
            [
                _label(each),
                short(each.get("estimate")),
                f"{short(each.get('ci_low'))} to {short(each.get('ci_high'))}",
                probability(each.get("p")),
            ]
            for each in contrasts
        ]
        words = f"Contrasts of marginal means{f' (P adjusted: {adjust})' if adjust else ''}."
        found.append(Table(words, ["Contrast", "Estimate", "95 % CI", "P"], rows))
    return found


def change_blocks(model: Mapping[str, Any]) -> list[Block]:
    """Return what regression to the mean alone makes of a response that is a change."""
    check = model.get("change")
    if not isinstance(check, Mapping):
        return []
    rows = [
        [
            str(each.get("term")),
            short(each.get("estimate")),
            short(each.get("by_exchange")),
            short(each.get("log2_estimate")),
            probability(each.get("log2_p")),
        ]
        for each in check.get("coefficients") or ()
    ]
    head = ["Term", "Found", "By exchange alone", "In log2(after / before)", "P of that"]
    return [
        Heading("Regression to the mean"),
        Table("Coefficients beside those that exchanging before and after alone would give.", head, rows),
        Bullets([typeset(str(each)) for each in check.get("notes") or ()]),
    ]
