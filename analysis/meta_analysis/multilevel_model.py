"""A multilevel model made ready to be searched: its likelihood, coordinates and named components."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, get_args

import numpy as np

from nwbswitch.analysis.meta_analysis.multilevel_blocks import (
    independent_blocks,
    require_positive_definite,
    stacks,
)
from nwbswitch.analysis.meta_analysis.multilevel_charts import (
    Chart,
    Held,
    JointChart,
    Struct,
    covariance_entries,
    inner_chart,
    variance_chart,
)
from nwbswitch.analysis.meta_analysis.multilevel_frame import EffectFrame, RandomPart
from nwbswitch.analysis.meta_analysis.multilevel_likelihood import Data, Method, Shares, prepared
from nwbswitch.schemas.errors import FitError


@dataclass(frozen=True, slots=True)
class Component:
    """One variance or correlation of the random effects.

    ``part`` is the position of its random term, ``levels`` the inner levels it belongs to, empty where all
    share it; ``entries`` are positions among all entries of the covariance: that of a variance, or those of
    a covariance and its two variances.
    """

    name: str
    kind: Literal["variance", "correlation"]
    group: str
    part: int
    levels: tuple[int, ...]
    entries: tuple[int, ...]
    n_groups: int

    def value(self, theta: np.ndarray, scale: float) -> float:
        """Return it from the entries ``theta``; nan for a correlation of effects that do not vary."""
        if self.kind == "variance":
            return float(theta[self.entries[0]]) * scale**2
        across, one, other = (float(theta[each]) for each in self.entries)
        product = one * other
        return float(np.clip(across / np.sqrt(product), -1.0, 1.0)) if product > 0.0 else float("nan")


@dataclass(frozen=True, slots=True)
class MultilevelModel:
    """The likelihood of a frame, the coordinates of its covariance and its components."""

    frame: EffectFrame
    data: Data
    structs: tuple[Struct, ...]
    chart: JointChart
    components: tuple[Component, ...]
    method: Method
    block: np.ndarray

    def held(self, component: Component, value: float) -> JointChart:
        """Return the coordinates with one component held at ``value``, in the units of the effects."""
        charts = list(self.chart.parts)
        part = self.frame.parts[component.part]
        if component.kind == "variance":
            value = value / self.data.scale**2
        if part.inner_codes is None:
            charts[component.part] = variance_chart(value)
        else:
            levels = component.levels or (0, 1)
            held: Held = (component.kind, levels, value)
            struct = self.structs[component.part]
            charts[component.part] = inner_chart(struct, len(part.inner_labels), held)
        return JointChart(tuple(charts))

    def covariance_of(self, part: int, theta: np.ndarray) -> np.ndarray:
        """Return the covariance (q, q) of the effects of one group of a term, in units of the effects."""
        first = sum(_n_entries(each) for each in self.frame.parts[:part])
        own = theta[first : first + _n_entries(self.frame.parts[part])] * self.data.scale**2
        if self.frame.parts[part].inner_codes is None:
            return own[:, None]
        q = len(self.frame.parts[part].inner_labels)
        rows, columns = covariance_entries(q)
        found = np.zeros((q, q))
        found[rows, columns] = own
        found[columns, rows] = own
        return found


def _n_entries(part: RandomPart) -> int:
    q = len(part.inner_labels)
    return q * (q + 1) // 2 if q else 1


def multilevel_model(
    frame: EffectFrame, *, struct: Struct | Sequence[Struct], method: Method
) -> MultilevelModel:
    """Return the model of a frame.

    Raises
    ------
    FitError
        If components cannot be told apart, or the known covariance has no inverse.
    ValueError
        For a structure that does not exist, or another number of them than inner factors.
    """
    structs = _structs(frame.parts, struct)
    _require_distinct(frame)
    block = independent_blocks(frame.known, [part.codes for part in frame.parts])
    parts = stacks(frame.known, block)
    require_positive_definite(parts, frame.labels)
    shares: list[Shares] = []
    charts: list[Chart] = []
    components: list[Component] = []
    for place, (part, own) in enumerate(zip(frame.parts, structs, strict=True)):
        components += _components(place, part, own, len(shares))
        shares += _shares(part)
        q = len(part.inner_labels)
        charts.append(inner_chart(own, q) if q else variance_chart())
    data = prepared(frame.effect, frame.design.matrix, parts, shares)
    return MultilevelModel(frame, data, structs, JointChart(tuple(charts)), tuple(components), method, block)


def _structs(parts: Sequence[RandomPart], struct: Struct | Sequence[Struct]) -> tuple[Struct, ...]:
    n_inner = sum(part.inner_codes is not None for part in parts)
    given: list[Struct] = [struct] * n_inner if isinstance(struct, str) else list(struct)
    for each in given:
        if each not in get_args(Struct):
            raise ValueError(f"struct is {each!r}; available are {', '.join(get_args(Struct))}.")
    if len(given) != n_inner:
        raise ValueError(
            f"There are {len(given)} structures for {n_inner} random terms with an inner factor."
        )
    rest = iter(given)
    return tuple("ID" if part.inner_codes is None else next(rest) for part in parts)


def _shares(part: RandomPart) -> list[Shares]:
    if part.inner_codes is None:
        return [Shares(part.codes)]
    rows, columns = covariance_entries(len(part.inner_labels))
    return [
        Shares(part.codes, part.inner_codes, (int(a), int(b))) for a, b in zip(rows, columns, strict=True)
    ]


def _components(place: int, part: RandomPart, struct: Struct, first: int) -> list[Component]:
    groups = len(part.labels)
    if part.inner_codes is None:
        return [Component(part.group, "variance", part.group, place, (), (first,), groups)]
    q = len(part.inner_labels)
    where = f"| {part.group}"
    if struct in ("CS", "ID"):
        found = [Component(f"{part.inner} {where}", "variance", part.group, place, (), (first,), groups)]
        if struct == "CS":
            entries = (first + q, first, first + 1)
            name = f"cor({part.inner}) {where}"
            found.append(Component(name, "correlation", part.group, place, (), entries, groups))
        return found
    found = [
        Component(f"{label} {where}", "variance", part.group, place, (a,), (first + a,), groups)
        for a, label in enumerate(part.inner_labels)
    ]
    if struct == "UN":
        for position, (a, b) in enumerate(combinations(range(q), 2)):
            name = f"cor({part.inner_labels[a]}, {part.inner_labels[b]}) {where}"
            entries = (first + q + position, first + a, first + b)
            found.append(Component(name, "correlation", part.group, place, (a, b), entries, groups))
    return found


def _require_distinct(frame: EffectFrame) -> None:
    """Raise FitError for terms with the same groups, and pairs of inner levels that no group holds."""
    for one, other in combinations([part for part in frame.parts if part.inner_codes is None], 2):
        pairs = len(np.unique(np.stack([one.codes, other.codes]), axis=1).T)
        if pairs == len(one.labels) == len(other.labels):
            raise FitError(
                f"{one.group!r} and {other.group!r} have the same {pairs} groups, so their variances cannot "
                "be told apart. Leave one out."
            )
    for part in frame.parts:
        if part.inner_codes is None:
            continue
        q = len(part.inner_labels)
        held = np.zeros((len(part.labels), q), dtype=bool)
        held[part.codes, part.inner_codes] = True
        together = held.astype(int).T @ held.astype(int)
        for a, b in combinations(range(q), 2):
            if together[a, b] == 0:
                raise FitError(
                    f"No {part.group} has both {part.inner_labels[a]} and {part.inner_labels[b]}, so their "
                    "correlation cannot be estimated. Leave one out, or pool them in separate models."
                )
