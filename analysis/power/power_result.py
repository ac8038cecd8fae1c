"""Power by design: as a table, as JSON and as text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nwbswitch.analysis.plain_values import plain
from nwbswitch.analysis.power.components import Components
from nwbswitch.analysis.power.simulation import Kind, Layout, NeuronCounts
from nwbswitch.schemas.errors import InputFileError

if TYPE_CHECKING:
    import pandas as pd

    from nwbswitch.analysis.inference.inference import Ddf


@dataclass(frozen=True, slots=True)
class PowerPoint:
    """One design and its power: simulated with its 95 % Monte-Carlo interval, and by the t test.

    ``se`` is the standard error of the effect by the formula, ``animal_share``, ``session_share`` and
    ``neuron_share`` the parts of its square; ``failed`` experiments had no usable fit and count as not
    rejected, ``singular`` ones had a variance at zero.
    """

    animals_per_arm: int
    sessions_per_animal: int
    neurons_per_session: float
    neurons_sd: float
    neurons_minimum: int
    n_animals: int
    n_sessions: int
    power: float
    ci_low: float
    ci_high: float
    analytic: float
    ncp: float
    df: int
    se: float
    animal_share: float
    session_share: float
    neuron_share: float
    failed: int
    singular: int

    @property
    def size(self) -> tuple[float, ...]:
        """Animals, sessions and neurons, in the order in which they cost."""
        return self.animals_per_arm, self.sessions_per_animal, self.neurons_per_session


@dataclass(frozen=True, slots=True)
class PowerResult:
    """Power of every design of a sweep."""

    kind: Kind
    formula: str
    ddf: Ddf
    alpha: float
    effect: float
    target_power: float
    simulations: int
    windows: int
    rows_per_window: int
    seed: int
    components: Components
    points: tuple[PowerPoint, ...]
    warnings: tuple[str, ...]

    def table(self) -> pd.DataFrame:
        """Return one row per design."""
        import pandas as pd

        return pd.DataFrame([asdict(each) for each in self.points])

    @property
    def smallest(self) -> tuple[PowerPoint, ...]:
        """Designs that reach the target while none that is smaller or equal in every number does."""
        reached = [each for each in self.points if each.power >= self.target_power]
        return tuple(
            each
            for each in reached
            if not any(
                other.size != each.size and all(a <= b for a, b in zip(other.size, each.size, strict=True))
                for other in reached
            )
        )

    @property
    def info(self) -> Mapping[str, Any]:
        """How the power was found."""
        return {
            "engine": "nested, from simulated cross-products per session",
            "simulations": self.simulations,
            "seed": self.seed,
            "failed": sum(each.failed for each in self.points),
            "singular": sum(each.singular for each in self.points),
            "warnings": list(self.warnings),
        }

    def layout(self, point: PowerPoint) -> Layout:
        """Return the design of a point."""
        neurons = NeuronCounts(point.neurons_per_session, point.neurons_sd, point.neurons_minimum)
        return Layout(
            self.kind,
            point.animals_per_arm,
            point.sessions_per_animal,
            neurons,
            self.windows,
            self.rows_per_window,
        )

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON values."""
        found: dict[str, Any] = plain(
            {
                "kind": self.kind,
                "formula": self.formula,
                "ddf": self.ddf,
                "alpha": self.alpha,
                "effect": self.effect,
                "target_power": self.target_power,
                "windows": self.windows,
                "rows_per_window": self.rows_per_window,
                "components": asdict(self.components),
                "designs": [asdict(each) for each in self.points],
                "smallest": [asdict(each) for each in self.smallest],
                "info": dict(self.info),
            }
        )
        return found

    @classmethod
    def from_dict(cls, value: Mapping[str, Any], *, path: Path) -> PowerResult:
        """Return the result that `as_dict` gave; ``path`` is the file it was in.

        Raises
        ------
        InputFileError
            If something is missing.
        """
        try:
            info = value["info"]
            return cls(
                components=Components(**value["components"]),
                points=tuple(PowerPoint(**_numbers(each)) for each in value["designs"]),
                simulations=info["simulations"],
                seed=info["seed"],
                warnings=tuple(info["warnings"]),
                **{name: value[name] for name in _OWN},
            )
        except (KeyError, TypeError) as error:
            raise InputFileError(path, f"is no result of power ({error}).", "Give --overwrite.") from error

    def summary(self) -> str:
        """Return the result as text for people."""
        from nwbswitch.analysis.power.power_text import power_text

        return power_text(self)


_OWN = ("kind", "formula", "ddf", "alpha", "effect", "target_power", "windows", "rows_per_window")


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with not-a-number where JSON has null."""
    names = {each.name for each in fields(PowerPoint)}
    return {name: float("nan") if value is None and name in names else value for name, value in row.items()}


def proportion_interval(count: int, total: int, *, level: float = 0.95) -> tuple[float, float]:
    """Return the interval of a proportion (Wilson 1927, Journal of the American Statistical Association 22).

    ``count`` of ``total`` independent trials had the outcome.
    """
    from scipy.stats import norm

    z = float(norm.ppf(0.5 + level / 2.0))
    share = count / total
    centre = (share + z**2 / (2.0 * total)) / (1.0 + z**2 / total)
    half = z / (1.0 + z**2 / total) * (share * (1.0 - share) / total + z**2 / (4.0 * total**2)) ** 0.5
    return max(centre - half, 0.0), min(centre + half, 1.0)
