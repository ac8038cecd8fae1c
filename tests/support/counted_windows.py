"""Windows and sessions of event counts whose rates are known."""

from __future__ import annotations

import numpy as np

from nwbswitch.analysis.estimands.counts import DRUG, SessionCounts, WindowCounts
from nwbswitch.analysis.estimands.families import Family, family_sums, paired_windows
from nwbswitch.schemas.worlds import World, baseline_rates, block_gains, rates_after

Pair = tuple[WindowCounts, WindowCounts]


def of_counts(events, *, exposure_s=30.0, start_s=0.0) -> WindowCounts:
    """Return a window with these counts, shape (neurons, blocks), in blocks that follow each other."""
    counts = np.asarray(events, dtype=float)
    block = np.arange(counts.shape[1])
    exposure = np.broadcast_to(np.asarray(exposure_s, dtype=float), counts.shape).copy()
    return WindowCounts(counts, 0 * counts, exposure, 1 + block % 2, start_s + 30.0 * block)


def drawn(rates_per_min, rng, *, start_s=0.0, gains=True) -> WindowCounts:
    """Return Poisson counts in blocks of 30 s at these rates, shape (neurons, blocks)."""
    rates = np.asarray(rates_per_min, dtype=float)
    mean = rates * (block_gains(rates.shape, rng) if gains else 1.0)
    return of_counts(rng.poisson(mean * 0.5), start_s=start_s)


def session(windows, *, animal="m1", arm="ketamine", name="s1", cell_type="excitatory") -> SessionCounts:
    """Return a session with these windows; neurons have the same names in all sessions of an animal."""
    n = next(iter(windows.values())).events.shape[0]
    return SessionCounts(
        dataset="made",
        animal=animal,
        session=name,
        arm=arm,
        order=1,
        cell_type=cell_type,
        anatomical=True,
        simulated=True,
        identity=np.array([f"{animal}-{i}" for i in range(n)], dtype=np.str_),
        windows=dict(windows),
    )


def world_pairs(world: World, rng, *, animals=6, n_neurons=60, minutes=10):
    """Return the baseline and drug windows of some animals with the true rates, one (before, after) each."""
    pairs, truths = [], []
    for _ in range(animals):
        before = baseline_rates(n_neurons, rng)
        after = rates_after(world, before, rng)
        blocks = np.ones(2 * minutes)
        pairs.append(tuple(drawn(rates[:, None] * blocks, rng) for rates in (before, after)))
        truths.append((before, after))
    return pairs, truths


def value(family: Family, name: str, pairs) -> float:
    """Return an estimand of window pairs together, through the sessions they would be."""
    total = 0.0
    for before, after in pairs:
        found = paired_windows(session({"baseline": before, "drug": after}), DRUG)
        assert found is not None
        total = total + family_sums(family, found[0], found[1])
    assert family.status(name, total) == "ok"
    return float(family.estimands[name](total))
