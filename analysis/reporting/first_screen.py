"""The first screen: one sentence, one figure, how much was recorded, failed controls, the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nwbswitch.analysis.figures import switch_figures as figures
from nwbswitch.analysis.reporting.blocks import Picture
from nwbswitch.analysis.reporting.printed_numbers import known, signed, whole
from nwbswitch.analysis.reporting.words import control_tally, headline, plan_sentence
from nwbswitch.analysis.runs.results_folder import Results


@dataclass(frozen=True, slots=True)
class Fact:
    """A number and what it counts."""

    value: str
    label: str
    bad: bool = False


@dataclass(frozen=True, slots=True)
class FirstScreen:
    """What is seen first.

    ``failures`` are the sentences of failed controls; ``plan_is_bad`` says that the plan was changed.
    """

    name: str
    sentence: str
    facts: tuple[Fact, ...]
    failures: tuple[str, ...]
    plan: str
    plan_is_bad: bool
    picture: Picture | None


def first_screen(results: Results) -> FirstScreen:
    """Return the first screen of one data set."""
    result = results.result
    tally = control_tally(result)
    outcomes = tally.sentence.partition(": ")[2]
    plan = result.get("plan")
    return FirstScreen(
        name=str(result.get("dataset", "")),
        sentence=headline(result).replace("ρ* = ", "ρ*\u00a0=\u00a0").replace("95 % CI", "95\u00a0%\u00a0CI"),
        facts=(
            Fact(whole(result["n_animals"]), _plural(result["n_animals"], "animal")),
            Fact(whole(result["n_sessions"]), _plural(result["n_sessions"], "recording session")),
            Fact(whole(result["n_neurons"]), _neurons(result["cell_type"])),
            Fact(
                f"{tally.failed} of {tally.total}" if tally.total else "none",
                "negative controls failed" + (f" ({outcomes})" if outcomes else "")
                if tally.total
                else "negative control possible",
                bad=bool(tally.failed) or not tally.total,
            ),
        ),
        failures=tally.failures,
        plan=plan_sentence(plan),
        plan_is_bad=plan is not None and plan.get("status") == "changed",
        picture=_picture(results),
    )


def _picture(results: Results) -> Picture:
    result = results.result
    own = results.estimates[results.estimates["cell_type"] == result["cell_type"]]
    figure = figures.animals_figure(
        own,
        "rho_star",
        arms=results.arms,
        reference=results.reference,
        margin=result["margin"],
        contrast=results.contrast,
        explained=True,
    )
    spoken = [
        f"{arm}: {signed(rho['estimate'])}"
        for arm in results.arms
        if known((rho := result["arms"][arm]["estimands"].get("rho_star", {})).get("estimate"))
    ]
    window = "drug window" if results.contrast == "drug" else "pseudo-injection"
    joined = "; lines join the recordings of one animal" if len(results.arms) > 1 else ""
    return Picture(
        "main_state_correlation",
        figure,
        f"State correlation of every animal, {window} against baseline. " + "; ".join(spoken) + ".",
        f"State correlation ρ* between baseline and {window}, corrected for noise. One mark is one animal"
        f"{joined}; diamonds are the estimate of the arm with its 95 % interval; the band is the margin of "
        f"±{result['margin']:g}.",
    )


def animal_lines(results: Results) -> dict[str, list[str]]:
    """Return what there is to say of each animal, a line per arm; for whoever points at it."""
    result = results.result
    own = results.estimates[
        (results.estimates["cell_type"] == result["cell_type"])
        & (results.estimates["level"] == "animal")
        & (results.estimates["contrast"] == results.contrast)
        & results.estimates["estimand"].isin(_SHOWN)
    ]
    order = {arm: place for place, arm in enumerate(results.arms)}
    said: dict[str, dict[str, Mapping[str, Any]]] = {}
    for row in own.to_dict("records"):
        arms = said.setdefault(str(row["animal"]), {})
        found = dict(arms.get(row["arm"], {"n_neurons": row["n_neurons"]}))
        found[row["estimand"]] = signed(row["estimate"]) if known(row["estimate"]) else str(row["status"])
        arms[row["arm"]] = found
    return {
        animal: [
            f"{arm}: "
            + ", ".join(f"{words} {arms[arm][name]}" for name, words in _SHOWN.items() if name in arms[arm])
            + f" ({whole(arms[arm]['n_neurons'])} neurons)"
            for arm in sorted(arms, key=lambda name: (order.get(name, len(order)), name))
        ]
        for animal, arms in sorted(said.items())
    }


_SHOWN = {"rho_star": "ρ*", "SW": "SW", "G": "G"}


def _plural(n: int, noun: str) -> str:
    return noun if n == 1 else noun + "s"


def _neurons(cell_type: str) -> str:
    return "neurons of unknown type" if cell_type == "unknown" else f"{cell_type} neurons"
