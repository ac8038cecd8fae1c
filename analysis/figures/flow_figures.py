"""The flow of recordings into an analysis: found, left out and why, arms, animals, neurons."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nwbswitch.analysis.figures.svg_elements import plain_text, short_name
from nwbswitch.analysis.figures.switch_figures import BAND, INK, REFERENCE_COLOUR, RULE, panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINE_IN = 0.17
_PAD_IN = 0.09
_GAP_IN = 0.26
_WIDTH_IN = 4.5
_LEFT_IN = 2.1
_PER_ROW = 3
_CHARS_PER_IN = 13
MAX_REASONS = 8
"""More reasons than this are summed up in one line."""


@dataclass(frozen=True, slots=True)
class ArmFlow:
    """What is analysed of one arm."""

    arm: str
    n_sessions: int
    n_animals: int
    n_neurons: int


def flow_figure(
    n_found: int,
    left_out: Mapping[str, int],
    arms: Sequence[ArmFlow],
    *,
    cell_type: str,
    n_animals: int,
    n_analysed: int,
    colours: Mapping[str, str],
) -> Figure:
    """Draw which recording sessions were found, left out and analysed.

    Parameters
    ----------
    n_found
        Recording sessions found.
    left_out
        Sessions left out by reason.
    arms
        What is analysed of each arm.
    cell_type
        The type of neuron that the verdict is about.
    n_animals, n_analysed
        Animals and sessions analysed over all arms; an animal in two arms counts once.
    colours
        Colour of each arm.
    """
    found = [_counted(n_found, "recording session") + " found"]
    analysed = [f"{_counted(n_analysed, 'session')} of {_counted(n_animals, 'animal')} analysed"]
    reasons = _reasons(left_out)
    n_rows = -(-len(arms) // _PER_ROW)
    columns = min(_PER_ROW, max(1, len(arms)))
    width = (_WIDTH_IN - _GAP_IN * (columns - 1)) / columns
    boxes = [_arm_lines(arm, cell_type, width) for arm in arms]
    side = _box_height(len(reasons))
    first, second = _box_height(1), _box_height(1)
    middle = max(_GAP_IN, side - first + _GAP_IN if reasons else _GAP_IN)
    heights = [
        max(_box_height(len(lines)) for lines in boxes[row * _PER_ROW : (row + 1) * _PER_ROW])
        for row in range(n_rows)
    ]
    total = first + middle + second + sum(heights) + _GAP_IN * n_rows
    figure, axes = panel(_WIDTH_IN + 0.2, total + 0.2)
    axes.set_axis_off()
    axes.set(xlim=(-0.05, _WIDTH_IN + 0.05), ylim=(-total - 0.05, 0.05), aspect="equal")
    left = _LEFT_IN
    _box(axes, 0, 0, left, found, edge=INK)
    if reasons:
        _box(axes, left + _GAP_IN, 0, _WIDTH_IN - left - _GAP_IN, reasons, edge=RULE, align="left")
        _arrow(axes, left, -first / 2, left + _GAP_IN, -first / 2)
    top = -first - middle
    _arrow(axes, left / 2, -first, left / 2, top)
    _box(axes, 0, top, left, analysed, edge=INK)
    y = top - second - _GAP_IN
    for row, height in enumerate(heights):
        for column, (arm, lines) in enumerate(
            list(zip(arms, boxes, strict=True))[row * _PER_ROW : (row + 1) * _PER_ROW]
        ):
            x = column * (width + _GAP_IN)
            if row == 0:
                _elbow(axes, left / 2, top - second, x + width / 2, y)
            _box(axes, x, y, width, lines, edge=colours.get(arm.arm, INK), fill=BAND, bold_first=True)
        y -= height + _GAP_IN
    return figure


def _reasons(left_out: Mapping[str, int]) -> list[str]:
    if not left_out:
        return []
    total = sum(left_out.values())
    ordered = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    lines = [f"{_counted(total, 'session')} left out:"]
    characters = int((_WIDTH_IN - _LEFT_IN - _GAP_IN) * _CHARS_PER_IN)
    for reason, count in ordered[:MAX_REASONS]:
        words = short_name(reason, 3 * characters)
        lines += textwrap.wrap(f"{count}  {words}", characters, subsequent_indent="   ") or [str(count)]
    if more := ordered[MAX_REASONS:]:
        lines.append(f"{sum(count for _, count in more)}  for {len(more)} other reasons")
    return lines


def _arm_lines(arm: ArmFlow, cell_type: str, width: float) -> list[str]:
    kind = "neurons" if cell_type == "unknown" else f"{cell_type} neurons"
    words = f"{arm.n_neurons:,} {kind}".replace(",", "\u202f")
    name = short_name(arm.arm, 40)
    characters = int(width * _CHARS_PER_IN)
    return [
        *(textwrap.wrap(name, characters) or [""]),
        _counted(arm.n_sessions, "session"),
        _counted(arm.n_animals, "animal"),
        *textwrap.wrap(words, characters, break_on_hyphens=False),
    ]


def _box_height(n_lines: int) -> float:
    return n_lines * _LINE_IN + 2 * _PAD_IN


def _box(
    axes: Axes,
    x: float,
    y: float,
    width: float,
    lines: Sequence[str],
    *,
    edge: str,
    fill: str = "white",
    align: str = "center",
    bold_first: bool = False,
) -> None:
    from matplotlib.patches import FancyBboxPatch

    height = _box_height(len(lines))
    axes.add_patch(
        FancyBboxPatch(
            (x, y - height),
            width,
            height,
            boxstyle="round,pad=0,rounding_size=0.05",
            fc=fill,
            ec=edge,
            lw=1.1,
        )
    )
    with plain_text():
        for number, line in enumerate(lines):
            axes.text(
                x + (width / 2 if align == "center" else _PAD_IN),
                y - _PAD_IN - (number + 0.5) * _LINE_IN,
                line,
                ha="center" if align == "center" else "left",
                va="center",
                fontsize=8.5,
                color=INK,
                fontweight="bold" if bold_first and number == 0 else "normal",
            )


def _arrow(axes: Axes, x: float, y: float, to_x: float, to_y: float) -> None:
    axes.annotate(
        "",
        (to_x, to_y),
        (x, y),
        arrowprops={
            "arrowstyle": "-|>",
            "color": REFERENCE_COLOUR,
            "lw": 0.9,
            "shrinkA": 0,
            "shrinkB": 0,
            "mutation_scale": 8,
        },
    )


def _elbow(axes: Axes, x: float, y: float, to_x: float, to_y: float) -> None:
    turn = (y + to_y) / 2
    axes.plot([x, x, to_x, to_x], [y, turn, turn, to_y], color=REFERENCE_COLOUR, lw=0.9)


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'s' * (n != 1)}".replace(",", "\u202f")
