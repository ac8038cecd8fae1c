"""Several data sets: whether a finding replicates, the forest of data sets, and why candidates failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nwbswitch.analysis.figures.forest_figures import forest_figure
from nwbswitch.analysis.figures.switch_figures import LABELS
from nwbswitch.analysis.reporting.blocks import Block, Bullets, Link, Links, Picture, Section, Table, Text
from nwbswitch.analysis.reporting.first_screen import Fact, FirstScreen
from nwbswitch.analysis.reporting.pooling_section import meta_blocks
from nwbswitch.analysis.reporting.printed_numbers import NONE, interval, known, number, whole
from nwbswitch.analysis.reporting.together_section import together_section
from nwbswitch.analysis.reporting.words import plan_sentence, typeset, verdict_words

_PRIMARY = "M"


def replication_screen(replication: Mapping[str, Any], plan: Mapping[str, Any] | None) -> FirstScreen:
    """Return the first screen of several data sets: the answer, how many there are, and their forest."""
    datasets = _datasets(replication)
    eligible = [each for each in datasets if each.get("eligible")]
    words = {verdict_words(str(each.get("verdict"))) for each in eligible}
    said = f"verdict{'s' * (len(words) != 1)} among them"
    return FirstScreen(
        name="Across data sets",
        sentence=typeset(str(replication.get("sentence", ""))),
        facts=(
            Fact(whole(len(datasets)), "data set found" if len(datasets) == 1 else "data sets found"),
            Fact(whole(len(eligible)), "eligible", bad=len(eligible) < 2),
            Fact(whole(sum(each.get("n_animals") or 0 for each in eligible)), "animals in them"),
            Fact(whole(len(words)), said + (f": {', '.join(sorted(words))}" if words else "")),
        ),
        failures=(),
        plan=plan_sentence(plan),
        plan_is_bad=plan is not None and plan.get("status") == "changed",
        picture=_picture(replication, datasets),
    )


def replication_sections(
    replication: Mapping[str, Any], *, pages: Mapping[str, str] | None = None
) -> list[Section]:
    """Return the candidates, what was pooled, and where published fractions stand.

    Parameters
    ----------
    replication
        Content of ``replication.json``.
    pages
        Addresses of the pages of single data sets by name.
    """
    datasets = _datasets(replication)
    n_failed = sum(not each.get("eligible") for each in datasets)
    rows = [
        [
            str(each.get("dataset", "")),
            str(each.get("arm") or NONE),
            _verdict(each),
            "; ".join(typeset(str(reason)) for reason in each.get("reasons") or ())
            or ("eligible" if each.get("eligible") else NONE),
            whole(each.get("n_animals") or 0),
            interval(each) if known(each.get("estimate")) else NONE,
        ]
        for each in datasets
    ]
    head = ["Data set", "Arm", "Verdict", "Eligible, or why not", "Animals", "M (95 % CI)"]
    table = Table("Every data set that was looked at, eligible ones first.", head, rows, n_words=4)
    links = [Link(name, f"Page of {name}", address, held=False) for name, address in (pages or {}).items()]
    candidates: list[Block] = [table, Links(links)] if links else [table]
    sections = [Section("candidates", "Data sets and candidates", f"{n_failed} not eligible", candidates)]
    pooled = _pooled(replication)
    if pooled:
        blocks = meta_blocks(pooled, animals=set(), key="pooled")
        if left_out := _left_out(replication):
            blocks.append(left_out)
        sections.append(Section("pooled", "Pooled over data sets", ", ".join(pooled), blocks))
    if (together := together_section(replication)) is not None:
        sections.append(together)
    if published := [each for each in replication.get("published") or () if isinstance(each, Mapping)]:
        sentences = [typeset(str(each.get("sentence", each.get("label", "")))) for each in published]
        words = "Naive fractions cannot tell these worlds apart; they are compatible, no more."
        placed: list[Block] = [Text(words), Bullets(sentences)]
        sections.append(Section("published", "Published fractions", "compatibility only", placed))
    return sections


def _verdict(dataset: Mapping[str, Any]) -> str:
    if dataset.get("verdict"):
        return verdict_words(str(dataset["verdict"]))
    return "none" if dataset.get("analysed") else "not analysed"


def _datasets(replication: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for each in replication.get("datasets") or () if isinstance(each, Mapping)]


def _pooled(replication: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    pooled = replication.get("pooled")
    if not isinstance(pooled, Mapping):
        return {}
    if "estimate" in pooled:
        return {_PRIMARY: pooled}
    return {str(name): each for name, each in pooled.items() if isinstance(each, Mapping)}


def _picture(replication: Mapping[str, Any], datasets: list[Mapping[str, Any]]) -> Picture | None:
    shown = [each for each in datasets if known(each.get("estimate"))]
    if not shown:
        return None
    pooled = _pooled(replication).get(_PRIMARY, {})
    prediction = replication.get("prediction")
    ends = None
    if isinstance(prediction, Mapping):
        ends = number(prediction.get("low")), number(prediction.get("high"))
    names = [
        f"{each.get('dataset', '')}{'' if each.get('eligible') else ' (not eligible)'}" for each in shown
    ]
    columns = ("estimate", "ci_low", "ci_high")
    values, lows, highs = (np.array([number(each.get(name)) for each in shown]) for name in columns)
    triple = number(pooled.get("estimate")), number(pooled.get("ci_low")), number(pooled.get("ci_high"))
    figure = forest_figure(
        names, values, lows, highs, pooled=triple, prediction=ends, xlabel=f"{LABELS[_PRIMARY]} per data set"
    )
    words = "; ".join(f"{name}: {interval(each)}" for name, each in zip(names, shown, strict=True))
    diamond = "; diamond: pooled; line through it: prediction interval" if known(triple[0]) else ""
    return Picture(
        "main_datasets",
        figure,
        f"Excess remapping M of every data set. {words}.",
        f"Excess remapping M of each data set with its 95 % interval{diamond}. 0 is no more remapping than "
        "in the reference.",
    )


def _left_out(replication: Mapping[str, Any]) -> Table | None:
    rows = [each for each in replication.get("left_out") or () if isinstance(each, Mapping)]
    if not rows:
        return None
    return Table(
        "Pooled M without each laboratory.",
        ["Without", "M (95 % CI)", "Data sets"],
        [[str(each.get("without")), interval(each), str(each.get("k", NONE))] for each in rows],
    )
