"""Several data sets in one model: two estimands with their covariance, and one stage beside two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nwbswitch.analysis.reporting.blocks import Block, Bullets, Heading, Section, Table, Text
from nwbswitch.analysis.reporting.printed_numbers import NONE, known, probability, short, signed
from nwbswitch.analysis.reporting.words import typeset

_TERMS = {"estimandSW": "SW", "estimandrho_star": "ρ*"}
_STAGES = {
    "one": "one stage: a model of all rows",
    "two": "two stages: pooled effects",
    "difference": "difference",
}


def together_section(replication: Mapping[str, Any]) -> Section | None:
    """Return the models of all data sets, None where there are none."""
    together = replication.get("together")
    if not isinstance(together, Mapping) or not together:
        return None
    blocks: list[Block] = [
        Text("Descriptive: whether the finding replicates rests on the verdicts of the data sets.", "soft")
    ]
    for name, title in (("joint", "SW and ρ* in one model"), ("stages", "One stage beside two")):
        model = together.get(name)
        if isinstance(model, Mapping):
            blocks.append(Heading(title))
            told = model.get("status") != "ok"
            blocks += [Text(typeset(str(model.get("status"))))] if told else _BLOCKS[name](model)
    return Section("together", "All data sets in one model", "descriptive", blocks)


def _joint(model: Mapping[str, Any]) -> list[Block]:
    robust = {row.get("term"): row for row in (model.get("robust") or {}).get("coefficients") or ()}
    rows = []
    for row in model.get("coefficients") or ():
        other = robust.get(row.get("term"), {})
        rows.append(
            [
                _TERMS.get(str(row.get("term")), str(row.get("term"))),
                _interval(row),
                probability(row.get("p")),
                _interval(other),
                probability(other.get("p")),
            ]
        )
    words = (
        "Difference from the reference, pooled by a multivariate model: the sampling errors of both "
        "estimands of a data set covary as its animals do. Beside it tests that are robust to a wrong "
        "covariance (CR2)."
    )
    head = ["Estimand", "Estimate (95 % CI)", "P", "CR2 (95 % CI)", "P"]
    return [Table(words, head, rows)]


def _stages(model: Mapping[str, Any]) -> list[Block]:
    rows = [
        [
            _STAGES.get(str(row.get("stage")), str(row.get("stage"))),
            _interval(row, digits=True),
            probability(row.get("p")),
            short(row.get("tau")),
        ]
        for row in model.get("stages") or ()
    ]
    words = "Change of the mean root event rate under the drug, beyond that under the reference."
    table = Table(words, ["How", "Estimate (95 % CI)", "P", "SD between data sets"], rows)
    reasons: Sequence[Any] = model.get("reasons") or ()
    return [table, Bullets([typeset(str(each)) for each in reasons])] if reasons else [table]


def _interval(row: Mapping[str, Any], *, digits: bool = False) -> str:
    shown = short if digits else signed
    estimate, low, high = (row.get(name) for name in ("estimate", "ci_low", "ci_high"))
    if estimate is None or not known(estimate):
        return NONE
    if low is None or high is None:
        return shown(estimate)
    return f"{shown(estimate)} ({shown(low)} to {shown(high)})"


_BLOCKS = {"joint": _joint, "stages": _stages}
