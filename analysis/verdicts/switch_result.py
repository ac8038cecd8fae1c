"""The result of `switch`: tables, a summary in words and the dictionary behind result.json."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.designs.design import design_sentence
from nwbswitch.analysis.estimands.counts import SessionCounts, by_animal, count_neurons
from nwbswitch.analysis.estimands.primary import Key
from nwbswitch.analysis.estimands.spreads import Interval
from nwbswitch.analysis.verdicts.animal_estimates import OwnEstimates
from nwbswitch.analysis.verdicts.arm_analysis import ArmResult
from nwbswitch.analysis.verdicts.controls import Control
from nwbswitch.analysis.verdicts.estimates_table import (
    EstimateRow,
    Heading,
    arm_rows,
    estimates_table,
    neuron_rates,
    own_rows,
)
from nwbswitch.analysis.verdicts.gatekeeping import with_roles
from nwbswitch.analysis.verdicts.pooling import Estimate, random_effects
from nwbswitch.analysis.verdicts.verdict import Reason, Verdict

PRIMARY = ("G", "R_act", "R_sil", "SW", "rho_star")
_NAIVE = {
    "down_pct": ("naive_down", 100.0),
    "up_pct": ("naive_up", 100.0),
    "p_active_after_silent": ("naive_p_active_after_silent", 1.0),
    "corr": ("naive_corr", 1.0),
}


@dataclass(frozen=True, slots=True)
class SwitchInfo:
    """How a result was found.

    Attributes
    ----------
    limits
        Detection limits k of the tau_c sweep of each cell type.
    cell_type
        The type that the verdicts are about.
    seconds
        Time taken, s.
    resamples, interval
        Of the bootstrap inside animals and sessions; 0 is none.
    references
        The reference of each arm, where they were given one by one.
    """

    reference: str | None
    margin: float
    limits: Mapping[str, tuple[int, ...]]
    limits_from_data: bool
    draws: int
    seed: int
    cell_type: str
    seconds: float
    resamples: int = 0
    interval: Interval = "percentile"
    references: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SwitchResult:
    """Estimates and verdicts of one data set.

    Attributes
    ----------
    by_cell_type
        Results by cell type and arm; every type is analysed on its own.
    own
        Estimates of animals and sessions, by cell type and arm.
    info
        How it was found.
    extra_rows
        Further rows of the table, such as exploratory estimates.
    """

    dataset: str
    simulated: bool
    by_cell_type: Mapping[str, Mapping[str, ArmResult]]
    own: Mapping[str, Mapping[str, OwnEstimates]]
    info: SwitchInfo
    extra_rows: tuple[EstimateRow, ...] = ()

    @property
    def arms(self) -> Mapping[str, ArmResult]:
        """Results of the primary cell type by arm."""
        return self.by_cell_type[self.info.cell_type]

    @property
    def verdicts(self) -> dict[str, Verdict]:
        """The verdict of each arm."""
        return {name: arm.verdict for name, arm in self.arms.items()}

    @property
    def reasons(self) -> dict[str, tuple[Reason, ...]]:
        """Why each arm has its verdict: every step of the rule with its numbers."""
        return {name: arm.verdict.reasons for name, arm in self.arms.items()}

    @property
    def controls(self) -> tuple[Control, ...]:
        """All negative controls of all arms."""
        return tuple(control for arm in self.arms.values() for control in arm.controls)

    @property
    def sessions(self) -> list[SessionCounts]:
        """Sessions of the primary cell type."""
        return [session for arm in self.arms.values() for session in arm.sessions]

    @property
    def every_session(self) -> list[SessionCounts]:
        """Sessions of all cell types, ordered by animal and session."""
        arms = [arm for each in self.by_cell_type.values() for arm in each.values()]
        found = [session for arm in arms for session in arm.sessions]
        return sorted(found, key=lambda each: (each.animal, each.session, each.cell_type))

    @property
    def design(self) -> str:
        """One sentence about animals, arms and their order."""
        return design_sentence(self.sessions)

    def table(self) -> pd.DataFrame:
        """Return all estimates at arm, animal and session level, columns of ``ESTIMATES``.

        ``role`` says which test is primary and which follow from it, ``p_holm`` their adjusted P (see
        `verdicts.gatekeeping`).
        """
        rows: list[EstimateRow] = []
        for cell_type, arms in self.by_cell_type.items():
            for name, arm in arms.items():
                heading = Heading(self.dataset, cell_type, name, self.simulated)
                rows += [*arm_rows(heading, arm), *own_rows(heading, self.own[cell_type][name])]
        return with_roles(
            estimates_table([*rows, *self.extra_rows]),
            primary_type=self.info.cell_type,
            reference=dict(self.info.references) or self.info.reference,
        )

    def animals(self) -> pd.DataFrame:
        """Return the rows of `table` at animal level: drug, pseudo and against the reference."""
        table = self.table()
        return table[table["level"] == "animal"].reset_index(drop=True)

    def neurons(self) -> pd.DataFrame:
        """Return event rates before and after; see `estimates_table.neuron_rates` for the columns."""
        return neuron_rates(self.every_session)

    def random_effects(self, arm: str, *, contrast: str = "drug") -> dict[str, Estimate]:
        """Return random-effects means over the animals of an arm, for the primary estimands.

        A second way to pool beside the ratio of sums, with the animals' own sampling variances
        (Paule-Mandel, Hartung-Knapp). Empty when the arm has no such contrast at animal level.
        """
        animals = self.own[self.info.cell_type][arm].animals.get(contrast, {})
        if not animals:
            return {}
        found = {}
        for name in PRIMARY:
            own = [estimates[name, 0] for estimates in animals.values()]
            values = np.array([each.estimate for each in own])
            found[name] = random_effects(values, np.array([each.se**2 for each in own]))
        return found

    def summary(self) -> str:
        """Return the result in words, a few lines per arm."""
        lines = [("SIMULATED DATA. " if self.simulated else "") + f"{self.dataset}: {self.design}"]
        for name, arm in self.arms.items():
            lines.append(f"{name}: {arm.verdict.sentence}")
            lines.append(f"  because {arm.verdict.reasons[-1].sentence}" if arm.verdict.decided else "")
            shown = arm.drug_estimates or arm.pseudo_estimates
            for word in PRIMARY:
                line = f"  {word:8s} {_text(shown[word, 0])}" if shown else ""
                if arm.difference is not None:
                    line += f"; against {arm.reference} {_text(arm.difference.estimates[word, 0])}"
                lines.append(line)
            lines += [f"  {control.outcome.value}: {control.sentence}" for control in arm.controls]
        return "\n".join(line for line in lines if line)

    def as_dict(self) -> dict[str, Any]:
        """Return the dictionary of result.json: plain values, None where there is no number."""
        info = self.info
        return {
            "dataset": self.dataset,
            "simulated": self.simulated,
            "design": self.design,
            "reference": info.reference,
            "margin": info.margin,
            "seed": info.seed,
            "draws": info.draws,
            "resamples": info.resamples,
            "interval": info.interval if info.resamples else None,
            "cell_type": info.cell_type,
            "primary_test": "M",
            "tau_c_limits": list(info.limits[info.cell_type]),
            "n_animals": len(by_animal(self.sessions)),
            "n_sessions": len({(each.animal, each.session) for each in self.sessions}),
            "n_neurons": count_neurons(self.sessions),
            "arms": {name: self._arm_dict(arm) for name, arm in self.arms.items()},
        }

    def _arm_dict(self, arm: ArmResult) -> dict[str, Any]:
        shown = arm.drug_estimates or arm.pseudo_estimates
        against = arm.difference.estimates if arm.difference else {}
        estimands = _named(shown)
        if ("M", 0) in against and arm.arm != self.info.reference:
            estimands["M"] = _numbers(against["M", 0])
        return {
            "verdict": arm.verdict.word.value,
            "meaning": arm.verdict.meaning,
            "sentence": arm.verdict.sentence,
            "verdict_without_controls": arm.verdict.without_controls.value,
            "reasons": [
                {"rule": each.rule, "held": each.held, "sentence": each.sentence}
                for each in arm.verdict.reasons
            ],
            "n_animals": arm.n_animals,
            "n_sessions": len(arm.sessions),
            "n_neurons": count_neurons(arm.sessions),
            "n_animals_without_windows": len(by_animal(arm.sessions)) - arm.n_animals,
            "n_neurons_left_out": arm.drug.n_left_out if arm.drug else 0,
            "contrast": "drug" if arm.drug_estimates else "pseudo",
            "estimands": estimands,
            "reference": arm.reference or None,
            "design": arm.difference.design if arm.difference else None,
            "n_animals_left_out": arm.difference.n_left_out if arm.difference else 0,
            "against_reference": _named(against),
            "pseudo": _named(arm.pseudo_estimates),
            "naive": {
                word: _plain(shown[name, 0].estimate * factor)
                for word, (name, factor) in _NAIVE.items()
                if (name, 0) in shown
            },
            "random_effects": {name: _numbers(each) for name, each in self.random_effects(arm.arm).items()},
            "controls": {control.name: _control_dict(control) for control in arm.controls},
        }


def _control_dict(control: Control) -> dict[str, Any]:
    return {
        "outcome": control.outcome.value,
        "sentence": control.sentence,
        "m": None if control.m is None else _numbers(control.m),
        "estimates": {name: _numbers(each) for name, each in control.estimates.items()},
    }


def _named(found: Mapping[Key, Estimate]) -> dict[str, dict[str, Any]]:
    """Return estimates by name; tau_c is the limit least in favour of a switch, with the whole sweep."""
    named = {name: _numbers(each) for (name, limit), each in found.items() if not limit}
    sweep = {limit: each for (name, limit), each in found.items() if name == "tau_c"}
    if sweep:
        least = max(sweep, key=lambda limit: _last(sweep[limit]))
        named["tau_c"] = _numbers(sweep[least]) | {
            "k": least,
            "sweep": [{"k": limit, **_numbers(each)} for limit, each in sweep.items()],
        }
    return named


def _last(estimate: Estimate) -> float:
    high = estimate.interval()[1]
    return high if math.isfinite(high) else math.inf


def _numbers(estimate: Estimate) -> dict[str, Any]:
    low, high = estimate.interval()
    return {
        "estimate": _plain(estimate.estimate),
        "ci_low": _plain(low),
        "ci_high": _plain(high),
        "p": _plain(estimate.p),
        "se": _plain(estimate.se),
        "df": _plain(estimate.df),
        "n_animals": estimate.n_animals,
        "status": estimate.status,
    }


def _plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _text(estimate: Estimate) -> str:
    if not math.isfinite(estimate.estimate):
        return estimate.status
    if not estimate.estimable:
        return f"{estimate.estimate:.2f} ({estimate.status})"
    low, high = estimate.interval()
    p = f", P = {estimate.p:.3g}" if math.isfinite(estimate.p) else ""
    return f"{estimate.estimate:.2f} (95% CI {low:.2f} to {high:.2f}{p})"
