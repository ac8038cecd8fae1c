"""What a permutation test over clusters found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from nwbswitch.analysis.plain_values import plain

if TYPE_CHECKING:
    import pandas as pd

Weights = Literal["model", "rows"]


@dataclass(frozen=True, slots=True, repr=False)
class PermutationTest:
    """A permutation test over the clusters of ``group``.

    ``estimates`` (r,) are those of the linear model over clusters, for the tested contrasts in words
    ``tested``. ``kind`` is ``between`` or ``within`` clusters; ``values`` (clusters, k) the numbers of each
    cluster in ``labels``, and ``strata`` (clusters,) its stratum. ``enumerated`` if all ``n_arrangements``
    were taken; no P below ``smallest_p`` can come out. ``exact`` if the test is exact under the hypothesis of
    the module's notes. ``left_out`` are clusters without the effect.
    """

    tested: tuple[str, ...]
    kind: Literal["between", "within"]
    group: str
    estimates: np.ndarray
    statistic: float
    p: float
    smallest_p: float
    n_arrangements: int
    enumerated: bool
    exact: bool
    weights: Weights
    seed: int
    labels: tuple[str, ...]
    value_names: tuple[str, ...]
    values: np.ndarray
    strata: np.ndarray
    left_out: tuple[str, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        return self.summary()

    def table(self) -> pd.DataFrame:
        """Return one row per contrast: its estimate, and statistic and P of all of them at once."""
        import pandas as pd

        return pd.DataFrame(
            {
                "tested": self.tested,
                "kind": self.kind,
                "estimate": self.estimates,
                "statistic": self.statistic,
                "p": self.p,
                "smallest_p": self.smallest_p,
                "n_arrangements": self.n_arrangements,
                "n_clusters": len(self.labels),
            }
        )

    def clusters(self) -> pd.DataFrame:
        """Return the numbers of every cluster: group, level, stratum, and one column per number."""
        import pandas as pd

        found = pd.DataFrame({"group": self.group, "level": self.labels, "stratum": self.strata})
        for name, column in zip(self.value_names, self.values.T, strict=True):
            found[name] = column
        return found

    def summary(self) -> str:
        """Return the test as text for people."""
        how = "all" if self.enumerated else "a sample of"
        what = "labels dealt anew between" if self.kind == "between" else "signs flipped within"
        lines = [
            f"Permutation test of {', '.join(self.tested)}: {what} {len(self.labels)} {self.group}, {how} "
            f"{self.n_arrangements} arrangements.",
            "Estimate " + ", ".join(f"{each:.4g}" for each in self.estimates) + f"; P = {self.p:.4g} "
            f"(the smallest that can come out is {self.smallest_p:.3g}); "
            f"{'exact' if self.exact else 'approximate'}.",
            *self.notes,
        ]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return the test as plain JSON values."""
        found: dict[str, Any] = plain(
            {
                "tested": self.tested,
                "kind": self.kind,
                "group": self.group,
                "estimates": self.estimates,
                "statistic": self.statistic,
                "p": self.p,
                "smallest_p": self.smallest_p,
                "n_arrangements": self.n_arrangements,
                "enumerated": self.enumerated,
                "exact": self.exact,
                "weights": self.weights,
                "seed": self.seed,
                "clusters": self.clusters().to_dict(orient="records"),
                "left_out": self.left_out,
                "notes": self.notes,
            }
        )
        return found
