"""The whole analysis against plain loops written from the definitions in docs/estimands.md.

One small crossover study with unequal exposures and unequal sessions. Conventions of the package that the
loops share: half an event by exposure, quantiles rounded half up, covariances pooled as sums. Exposures
differ between neurons, so that no two of them tie where the selection is cut.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from operator import truediv

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.simulation.count_studies import SCENARIOS, cells_table, simulate_study
from nwbswitch.analysis.verdicts.switch import switch

LIMITS = (3, 12)
Count = tuple[float, float]  # events, seconds


@dataclass
class Neuron:
    before: tuple[Count, Count]  # one per interleaved half
    after: tuple[Count, Count]

    @property
    def b(self) -> Count:
        return _plus(*self.before)

    @property
    def p(self) -> Count:
        return _plus(*self.after)


Sessions = list[list[Neuron]]
Animals = dict[str, Sessions]


def _plus(*counts: Count) -> Count:
    return sum(n for n, _ in counts), sum(t for _, t in counts)


def _log_ratio(after: Count, before: Count) -> float:
    share = after[1] / (after[1] + before[1])  # of one event added to the two sums together
    return math.log2((after[0] + share) / after[1]) - math.log2((before[0] + 1 - share) / before[1])


def _drive(sessions: Sessions) -> float:
    every = [neuron for own in sessions for neuron in own]
    return _log_ratio(_plus(*(each.p for each in every)), _plus(*(each.b for each in every)))


def _response(sessions: Sessions, *, active: bool) -> float:
    found = []
    for half in (0, 1):
        chosen: list[Neuron] = []
        for own in sessions:
            ordered = sorted(own, key=lambda i, h=half: i.before[h][0] / i.before[h][1], reverse=active)
            chosen += ordered[: math.floor(len(own) * (0.25 if active else 0.5) + 0.5)]
        after = _plus(*(each.p for each in chosen))
        found.append(_log_ratio(after, _plus(*(each.before[1 - half] for each in chosen))))
    return sum(found) / 2


def _products(own: list[Neuron], one: Callable[[Neuron], Count], two: Callable[[Neuron], Count]) -> float:
    x, y = ([math.sqrt((n + 3 / 8) / t) for n, t in map(count, own)] for count in (one, two))
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))


def _rho_parts(sessions: Sessions) -> tuple[float, float, float]:
    across = before = after = 0.0
    for own in sessions:
        for h, k in itertools.product((0, 1), repeat=2):
            across += _products(own, lambda i, h=h: i.before[h], lambda i, k=k: i.after[k]) / 4
        before += _products(own, lambda i: i.before[0], lambda i: i.before[1])
        after += _products(own, lambda i: i.after[0], lambda i: i.after[1])
    return across, before, after


def _rho(sessions: Sessions) -> float:
    across, before, after = _rho_parts(sessions)
    return across / math.sqrt(before * after)


def _tau_parts(sessions: Sessions, k: int) -> tuple[int, int]:
    total = pairs = 0
    for own in sessions:
        counts = [(each.b[0], each.p[0]) for each in own if each.b[0] + each.p[0] >= k]
        for (b_i, p_i), (b_j, p_j) in itertools.combinations(counts, 2):
            if b_i + p_j >= k and b_j + p_i >= k:
                pairs += 1
                total += int(np.sign((b_i - b_j) * (p_i - p_j)))
    return total, pairs


def _naive(sessions: Sessions, *, down: bool) -> float:
    rates = [(each.b[0] / each.b[1], each.p[0] / each.p[1]) for own in sessions for each in own]
    changed = [1.5 * p < b if down else p > 1.5 * b for b, p in rates]
    return sum(changed) / len(changed)


FORMULAS: dict[tuple[str, int], Callable[[Sessions], float]] = {
    ("G", 0): _drive,
    ("R_act", 0): lambda sessions: _response(sessions, active=True),
    ("R_sil", 0): lambda sessions: _response(sessions, active=False),
    ("SW", 0): lambda sessions: _response(sessions, active=False) - _response(sessions, active=True),
    ("rho_star", 0): _rho,
    ("naive_down", 0): lambda sessions: _naive(sessions, down=True),
    ("naive_up", 0): lambda sessions: _naive(sessions, down=False),
    **{("tau_c", k): lambda sessions, k=k: truediv(*_tau_parts(sessions, k)) for k in LIMITS},
}
# What changes sign under the sign flip of an animal, where it is not the estimate itself.
FLIPPED: dict[tuple[str, int], Callable[[Sessions], float]] = {
    ("rho_star", 0): lambda sessions: _rho_parts(sessions)[0],
    **{("tau_c", k): lambda sessions, k=k: _tau_parts(sessions, k)[0] for k in LIMITS},
}


def _pool(animals: Animals) -> Sessions:
    return [own for sessions in animals.values() for own in sessions]


def _jackknife(statistic: Callable[[list[str]], float], names: list[str]) -> float:
    left, n = [statistic([name for name in names if name != out]) for out in names], len(names)
    return math.sqrt((n - 1) / n * sum((each - sum(left) / n) ** 2 for each in left))


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    study = simulate_study(SCENARIOS["swap"], n_animals=6, n_neurons=[17, 22, 27], window_s=300, rng=rng)
    cells = cells_table(study)
    cells["exposure_s"] = rng.uniform(20, 30, len(cells))
    fewer_blocks = (cells["animal"] == "m02") & (cells["window"] == "drug") & (cells["block"] > 6)
    unseen = (cells["animal"] == "m01") & (cells["order"] == 2) & cells["neuron"].isin([3, 8])
    lost = (cells["animal"] == "m03") & (cells["window"] == "drug") & (cells["neuron"] == 1)
    return cells[~(fewer_blocks | unseen | lost)].reset_index(drop=True)


@pytest.fixture(scope="module")
def arms(cells: pd.DataFrame) -> dict[str, Animals]:
    found: dict[str, Animals] = {}
    for (arm, animal, _), rows in cells.groupby(["arm", "animal", "session"]):
        own = []
        for _, mine in rows.groupby("neuron"):
            sums = mine.groupby(["window", "half"])[["n_events", "exposure_s"]].sum()
            windows = [[(w, h) for h in (1, 2)] for w in ("baseline", "drug")]
            if all(key in sums.index for pair in windows for key in pair):
                own.append(Neuron(*(tuple(tuple(sums.loc[key]) for key in pair) for pair in windows)))
        found.setdefault(str(arm), {}).setdefault(str(animal), []).append(own)
    return found


@pytest.fixture(scope="module")
def table(cells: pd.DataFrame) -> pd.DataFrame:
    rows = switch(cells, k=LIMITS, draws=2).table().query("level == 'arm'")
    return rows.set_index(["arm", "contrast", "estimand", "k"])


@pytest.mark.parametrize("key", FORMULAS)
@pytest.mark.parametrize("arm", ["ketamine", "saline"])
def test_an_arm(arms, table, arm, key) -> None:
    animals, formula = arms[arm], FORMULAS[key]
    row = table.loc[(arm, "drug", *key)]
    assert row["estimate"] == pytest.approx(formula(_pool(animals)), abs=1e-9)
    se = _jackknife(lambda names: formula(_pool({name: animals[name] for name in names})), list(animals))
    assert row["se"] == pytest.approx(se, abs=1e-9)
    if key[0].startswith("naive"):
        return
    values = [FLIPPED.get(key, formula)(sessions) for sessions in animals.values()]
    means = [abs(sum(flipped)) for flipped in itertools.product(*((value, -value) for value in values))]
    assert row["p"] == sum(each >= means[0] - 1e-9 for each in means) / len(means)


@pytest.mark.parametrize("key", FORMULAS)
def test_drug_against_saline(arms, table, key) -> None:
    drug, saline, formula = arms["ketamine"], arms["saline"], FORMULAS[key]

    def difference(names: list[str], swapped: tuple[str, ...] = ()) -> float:
        first = {name: (saline if name in swapped else drug)[name] for name in names}
        second = {name: (drug if name in swapped else saline)[name] for name in names}
        return formula(_pool(first)) - formula(_pool(second))

    names = list(drug)
    row = table.loc[("ketamine", "vs_saline", *key)]
    assert row["estimate"] == pytest.approx(difference(names), abs=1e-9)
    assert row["se"] == pytest.approx(_jackknife(difference, names), abs=1e-9)
    if key[0] in ("naive_down", "naive_up"):
        return
    subsets = (c for n in range(len(names) + 1) for c in itertools.combinations(names, n))
    found = [abs(difference(names, swapped)) for swapped in subsets]
    assert row["p"] == sum(each >= found[0] - 1e-9 for each in found) / len(found)
    if key[0] == "rho_star":
        assert table.loc[("ketamine", "vs_saline", "M", 0), "estimate"] == -row["estimate"]
