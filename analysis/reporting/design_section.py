"""The design of the study: what is compared with what, what that may owe to the design, and order effects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nwbswitch.analysis.figures.switch_figures import LABELS
from nwbswitch.analysis.reporting.blocks import Block, Bullets, Heading, Section, Table, Text
from nwbswitch.analysis.reporting.printed_numbers import NONE, counted, known, signed
from nwbswitch.analysis.reporting.words import typeset

_SHOWN = ("M", "rho_star", "SW", "G")


def design_section(design: Mapping[str, Any] | None) -> Section | None:
    """Return the design, None where no table of sessions tells it."""
    if design is None:
        return None
    doubts = [each for each in design.get("doubts") or () if isinstance(each, Mapping)]
    blocks: list[Block] = [Text(typeset(str(design.get("sentence", ""))))]
    if doubts:
        words = [f"{each.get('message', '')} {each.get('remedy', '')}".strip() for each in doubts]
        blocks += [Heading("What comparisons may owe to the design"), Bullets(words, "bad")]
    blocks += _order(design.get("crossover") or ())
    carried = [str(each.get("summary")) for each in design.get("carry_over") or () if each.get("summary")]
    if carried:
        blocks += [Heading("Carry-over"), Bullets([typeset(each) for each in carried])]
    blocks += _repeats(design.get("repeats") or ())
    gist = str(design.get("kind", ""))
    if doubts:
        gist += f", {counted(len(doubts), 'doubt')}"
    return Section("design", "Design", gist, blocks)


def _order(rows: Sequence[Mapping[str, Any]]) -> list[Block]:
    """Return differences within animals beside those with the order of sessions taken out."""
    shown = [each for each in rows if each.get("estimand") in _SHOWN and known(each.get("adjusted"))]
    if not shown:
        return []
    table = Table(
        "Differences within animals, plain and with the order of sessions taken out, and how the later "
        "session differs from the earlier one. Descriptive: no verdict rests on it.",
        ["Estimand", "Arm", "Plain (95 % CI)", "Adjusted for order (95 % CI)", "Later − earlier (95 % CI)"],
        [
            [
                LABELS.get(str(each["estimand"]), str(each["estimand"])),
                f"{each.get('arm')} against {each.get('reference')}",
                *(_with_interval(each, name) for name in ("plain", "adjusted", "period")),
            ]
            for each in shown
        ],
        n_words=2,
    )
    return [Heading("Order of sessions"), table]


def _with_interval(row: Mapping[str, Any], name: str) -> str:
    value, low, high = (row.get(each) for each in (name, f"{name}_ci_low", f"{name}_ci_high"))
    if value is None or not known(value):
        return NONE
    if low is None or high is None or not (known(low) and known(high)):
        return signed(value)
    return f"{signed(value)} ({signed(low)} to {signed(high)})"


def _repeats(rows: Sequence[Mapping[str, Any]]) -> list[Block]:
    shown = [each for each in rows if each.get("estimand") in _SHOWN]
    if not shown:
        return []
    table = Table(
        "Repeated sessions of one arm: spread within and between animals, and the share between them.",
        ["Estimand", "Arm", "Animals", "SD of sessions", "SD of animals", "Repeatability"],
        [
            [
                LABELS.get(str(each["estimand"]), str(each["estimand"])),
                str(each.get("arm")),
                str(each.get("n_repeated", NONE)),
                *(
                    signed(each[name]) if known(each.get(name)) else NONE
                    for name in ("sd_sessions", "sd_animals", "repeatability")
                ),
            ]
            for each in shown
        ],
        n_words=2,
    )
    return [Heading("Repeated sessions"), table]
