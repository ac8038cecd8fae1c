"""Power as text for people: the table, the smallest designs, and what limits them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nwbswitch.analysis.fit_text import columns_text
from nwbswitch.analysis.power.analytic import Gains, gains

if TYPE_CHECKING:
    from nwbswitch.analysis.power.power_result import PowerPoint, PowerResult

_DDF = {
    "kenward-roger": "Kenward-Roger",
    "satterthwaite": "Satterthwaite",
    "none": "z, no degrees of freedom",
}


def power_text(result: PowerResult) -> str:
    """Return a result as text."""
    limiting = _reference(result)
    rows = "1 measurement" if result.rows_per_window == 1 else f"{result.rows_per_window} measurements"
    lines = [
        f"Power of {_design_word(result)} of drug by epoch, effect {result.effect:.4g}",
        f"  {result.formula}",
        f"  two-sided test at {result.alpha:g}, {_DDF[result.ddf]}; {result.windows} windows, {rows} of a "
        f"neuron in each; {result.simulations} simulated experiments per design",
        "",
        *_table(result),
        "",
        *_agreement(result),
        "",
        *_smallest(result),
        "",
        f"What limits {_named(result, limiting)}",
        *_limits(result, limiting),
    ]
    lines += [f"Warning: {each}" for each in _failures(result)]
    lines += [f"Warning: {each}" for each in result.warnings]
    return "\n".join(lines)


def _design_word(result: PowerResult) -> str:
    return "a crossover" if result.kind == "crossover" else "a comparison between animals"


def _animals_word(result: PowerResult) -> str:
    return "animals" if result.kind == "crossover" else "animals per arm"


def _table(result: PowerResult) -> list[str]:
    header = [_animals_word(result), "sessions each", "neurons each", "power", "95 % MC", "t test"]
    rows = [
        [
            str(each.animals_per_arm),
            str(each.sessions_per_animal),
            _neurons(each),
            f"{each.power:.3f}",
            f"[{each.ci_low:.3f}, {each.ci_high:.3f}]",
            f"{each.analytic:.3f}" if np.isfinite(each.analytic) else "-",
        ]
        for each in result.points
    ]
    return [f"  {line}" for line in columns_text(header, rows)]


def _neurons(point: PowerPoint) -> str:
    spread = f" (SD {point.neurons_sd:g})" if point.neurons_sd else ""
    return f"{point.neurons_per_session:g}{spread}"


def _agreement(result: PowerResult) -> list[str]:
    outside = [
        each
        for each in result.points
        if np.isfinite(each.analytic) and not each.ci_low <= each.analytic <= each.ci_high
    ]
    text = (
        "The column 't test' is the power of a t test of the animals' means, by the noncentral t "
        "distribution: a check that needs no simulation."
    )
    if not outside:
        return _wrapped(f"{text} It lies inside the Monte-Carlo interval for every design.")
    worst = max(outside, key=lambda each: abs(each.power - each.analytic))
    return _wrapped(
        f"{text} It lies outside the Monte-Carlo interval for {len(outside)} of {len(result.points)} designs "
        f"(1 in 20 would by chance), most for {_named(result, worst)}: {worst.power:.3f} simulated, "
        f"{worst.analytic:.3f} by the formula. Unequal numbers of neurons and variances estimated at zero "
        "are in the simulation alone; believe it where the two differ."
    )


def _smallest(result: PowerResult) -> list[str]:
    target = f"power {result.target_power:g}"
    if not result.smallest:
        best = max(result.points, key=lambda each: each.power)
        return _wrapped(
            f"No design reaches {target}. The nearest is {_named(result, best)} with {best.power:.2f}."
        )
    lines = [f"Smallest designs that reach {target}"]
    for each in result.smallest:
        unsure = "" if each.ci_low >= result.target_power else "; not certain at this number of simulations"
        lines.append(f"  {_named(result, each)}: {each.power:.3f}{unsure}")
    return lines


def _named(result: PowerResult, point: PowerPoint) -> str:
    return (
        f"{point.animals_per_arm} {_animals_word(result)}, {_count(point.sessions_per_animal, 'session')}, "
        f"{_neurons(point)} neurons"
    )


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _reference(result: PowerResult) -> PowerPoint:
    """Return the design that is looked at closely: the one that comes nearest to the target."""
    return min(result.points, key=lambda each: (abs(each.power - result.target_power), each.size))


def _limits(result: PowerResult, point: PowerPoint) -> list[str]:
    shares = {
        "differences between animals": point.animal_share,
        "differences between sessions of an animal": point.session_share,
        "neurons and their measurements": point.neuron_share,
    }
    more = gains(result.layout(point), result.components, effect=result.effect, alpha=result.alpha)
    lines = [
        f"  {100.0 * share:3.0f} % of the variance of the estimate is {name}"
        for name, share in shares.items()
    ]
    rows = [
        ["as it is", point.analytic],
        ["twice the animals", more.animals],
        ["twice the sessions", more.sessions],
        ["twice the neurons", more.neurons],
        ["neurons without end", more.endless_neurons],
    ]
    lines += ["", "  power by the t test"]
    lines += [f"    {name:<20} {value:.2f}" for name, value in rows]
    return [*lines, "", *_wrapped(_advice(point, more))]


def _advice(point: PowerPoint, more: Gains) -> str:
    gained = {
        "animals": more.animals - point.analytic,
        "sessions": more.sessions - point.analytic,
        "neurons": more.neurons - point.analytic,
    }
    best = max(gained, key=lambda name: gained[name])
    ceiling = more.endless_neurons
    if not np.isfinite(point.analytic):
        return "There are too few animals for a test; add animals."
    if gained[best] < 0.005:
        return "More of anything adds next to nothing: the design has the power that there is to have."
    said = f"Add {best} first: doubling them gives {gained[best]:+.2f}"
    others = [name for name in gained if name != best]
    said += ", " + ", ".join(f"doubling {name} {gained[name]:+.2f}" for name in others) + "."
    if best != "neurons":
        said += f" However many neurons are recorded in these animals, power stays below {_above(ceiling)}."
    return said


def _above(value: float) -> str:
    """Return a number rounded up, so that it can be said to stay below it."""
    return f"{min(np.floor(value * 100.0) / 100.0 + 0.01, 1.0):.2f}"


def _failures(result: PowerResult) -> list[str]:
    failed = [each for each in result.points if each.failed]
    if not failed:
        return []
    worst = max(failed, key=lambda each: each.failed)
    return [
        f"In {sum(each.failed for each in failed)} experiments the fit did not end in a minimum (most with "
        f"{_named(result, worst)}, {worst.failed} of {result.simulations}); they count as not rejected."
    ]


def _wrapped(text: str) -> list[str]:
    import textwrap

    return textwrap.wrap(text, 110)
