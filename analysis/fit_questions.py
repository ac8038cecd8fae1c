"""What may be asked of a fit beyond its coefficients, and which questions go together."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final, Literal, get_args

from nwbswitch.analysis.inference.anova import AnovaType
from nwbswitch.analysis.inference.contrasts import ContrastMethod
from nwbswitch.analysis.inference.multiplicity import Adjust
from nwbswitch.analysis.mixed.diagnostic_plots import SUFFIXES

Family = Literal["gaussian", "binomial"]
Robust = Literal["CR2"]
OF_ANY_FAMILY: Final = ("seed", "workers")


@dataclass(frozen=True, slots=True)
class FitQuestions:
    """The questions of one run of ``nwbswitch fit``, each named as its option.

    Attributes
    ----------
    anova
        Type of the tests of terms.
    robust
        Cluster-robust tests, clusters being the outermost groups.
    permutation
        Term to permute between the outermost groups.
    equivalence, margin
        Coefficient to test against -margin and +margin.
    marginal_means, by
        Variables, joined by ``:`` or commas, whose levels have a mean, and those that split the means.
    contrast, adjust
        Contrasts of these means and their correction.
    profile
        Profile likelihood intervals.
    bootstrap
        Number of draws of a parametric bootstrap.
    seed
        Of permutation and bootstrap.
    workers
        Processes for the bootstrap.
    plots
        Page of diagnostics to write.
    """

    anova: AnovaType = "III"
    robust: Robust | None = None
    permutation: str | None = None
    equivalence: str | None = None
    margin: float | None = None
    marginal_means: str | None = None
    by: str | None = None
    contrast: ContrastMethod | None = None
    adjust: Adjust | None = None
    profile: bool = False
    bootstrap: int | None = None
    seed: int = 0
    workers: int = 1
    plots: Path | None = None

    def __post_init__(self) -> None:
        _one_of("anova", self.anova, get_args(AnovaType))
        _one_of("robust", self.robust, (None, *get_args(Robust)))
        _one_of("contrast", self.contrast, (None, *get_args(ContrastMethod)))
        _one_of("adjust", self.adjust, (None, *get_args(Adjust)))
        if (self.equivalence is None) != (self.margin is None):
            raise ValueError("equivalence and margin belong together: give both or neither.")
        if self.margin is not None and not 0.0 < self.margin < float("inf"):
            raise ValueError(f"margin is {self.margin}; it must be above 0.")
        for name in ("by", "contrast"):
            if getattr(self, name) is not None and self.marginal_means is None:
                raise ValueError(f"{name} needs marginal_means, the variables whose means are meant.")
        if self.adjust is not None and self.contrast is None:
            raise ValueError("adjust needs contrast, the comparisons it corrects for.")
        if self.bootstrap is not None and self.bootstrap < 2:
            raise ValueError(f"bootstrap is {self.bootstrap}; give the number of fits, at least 2.")
        if self.plots is not None and self.plots.suffix.lower() not in SUFFIXES:
            raise ValueError(f"plots is {self.plots.name}; its ending must be one of {', '.join(SUFFIXES)}.")

    @property
    def seed_used(self) -> int | None:
        """The seed if something is random, else None."""
        return self.seed if self.bootstrap is not None or self.permutation is not None else None

    def parameters(self) -> dict[str, object]:
        """Return what decides the answers, by name, but for the seed."""
        apart = ("seed", "workers", "plots")
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name not in apart}

    def asked(self) -> tuple[str, ...]:
        """Return the names of the questions that are asked."""
        return tuple(
            each.name
            for each in fields(self)
            if each.name not in OF_ANY_FAMILY and getattr(self, each.name) != each.default
        )


def names_in(text: str) -> tuple[str, ...]:
    """Return the variables in ``drug:epoch`` or ``drug, epoch``.

    Raises
    ------
    ValueError
        If one is empty.
    """
    found = tuple(each.strip() for each in text.replace(",", ":").split(":"))
    if not all(found):
        raise ValueError(f"{text!r} is no list of variables; write e.g. drug:epoch.")
    return found


def _one_of(name: str, given: object, known: tuple[object, ...]) -> None:
    if given not in known:
        there = ", ".join(str(each) for each in known if each is not None)
        raise ValueError(f"{name} is {given!r}; available are {there}.")
