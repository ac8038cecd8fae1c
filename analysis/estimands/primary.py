"""The estimands of the activity switch, as sums that add over sessions and animals.

Every estimand is a function of sums over neurons. `contrast_sums` returns them for one session as one
vector; vectors add over the sessions of an animal and over animals, so that pooling by ratio of sums,
jackknives and permutations are sums of vectors followed by `ESTIMANDS`. Regression to the mean is kept
out by selecting neurons on one half of the baseline and measuring on the other; see Barnett, van der Pols
and Dobson 2005 (Int J Epidemiol 34:215-220) for the bias, Spearman 1904 (Am J Psychol 15:72-101) for the
correction for attenuation and Anscombe 1948 (Biometrika 35:246-254) for the root transform with 3/8.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nwbswitch.analysis.estimands.counts import Floats, HalfCounts
from nwbswitch.analysis.estimands.neuron_pairs import pair_sums
from nwbswitch.schemas.worlds import SILENT_RATE_PER_MIN

ACTIVE_SHARE = 0.25
SILENT_SHARE = 0.5
NAIVE_FACTOR = 1.5
MIN_EXPECTED_EVENTS = 10.0
MIN_RELIABILITY = 0.3
FEW_EVENTS = "not estimable: fewer than 10 expected events"
UNRELIABLE = "not estimable: split-half reliability below .3"
FEW_PAIRS = "not estimable: fewer than 10 pairs of neurons above the detection limit"
UNDEFINED = "not estimable: undefined"
OK = "ok"

_DRIVE, _SELECTED, _COVARIANCE, _NAIVE = 4, 6, 7, 8


@dataclass(frozen=True, slots=True)
class Layout:
    """Where each sum stands in the vector.

    Parameters
    ----------
    draws
        Draws that break ties of the selection at random; 0 gives each tied neuron its expected share.
    limits
        Detection limits k of tau_c, total events of a neuron in both windows.
    """

    draws: int
    limits: tuple[int, ...]

    @property
    def _selected(self) -> int:
        return max(1, self.draws) * 2 * _SELECTED

    @property
    def size(self) -> int:
        """Length of the vector."""
        return _DRIVE + 2 * self._selected + _COVARIANCE + _NAIVE + 2 * len(self.limits)

    def drive(self, sums: Floats) -> Floats:
        """Return events and exposure after and before, shape (..., 4)."""
        return sums[..., :_DRIVE]

    def active(self, sums: Floats) -> Floats:
        """Return the same for the top neurons of each baseline half, shape (..., draws, 2, 6).

        The last axis holds events and exposure after and before, then negative transients after and before.
        """
        return self._selection(sums, _DRIVE)

    def silent(self, sums: Floats) -> Floats:
        """Return the same for the bottom neurons of each baseline half, shape (..., draws, 2, 6)."""
        return self._selection(sums, _DRIVE + self._selected)

    def covariance(self, sums: Floats) -> Floats:
        """Return centred cross-products of f: b with p, b1 b2, p1 p2, b1, b2, p1, p2; shape (..., 7)."""
        start = _DRIVE + 2 * self._selected
        return sums[..., start : start + _COVARIANCE]

    def naive(self, sums: Floats) -> Floats:
        """Return the sums behind the naive fractions, shape (..., 8)."""
        start = _DRIVE + 2 * self._selected + _COVARIANCE
        return sums[..., start : start + _NAIVE]

    def pairs(self, sums: Floats) -> Floats:
        """Return the sum of signs and the number of pairs for each limit, shape (..., limits, 2)."""
        tail = sums[..., self.size - 2 * len(self.limits) :]
        return tail.reshape(*sums.shape[:-1], len(self.limits), 2)

    def _selection(self, sums: Floats, start: int) -> Floats:
        part: Floats = sums[..., start : start + self._selected]
        return part.reshape(*sums.shape[:-1], max(1, self.draws), 2, _SELECTED)

    def expected(self) -> Layout:
        """Return the layout without draws."""
        return Layout(0, self.limits)

    def averaged(self, sums: Floats) -> Floats:
        """Return the sums averaged over draws, in the order of `expected`."""
        lead = sums.shape[:-1]
        parts = [self.active(sums).mean(axis=-3), self.silent(sums).mean(axis=-3)]
        rest = sums[..., _DRIVE + 2 * self._selected :]
        return np.concatenate(
            [self.drive(sums), *(each.reshape(*lead, 2 * _SELECTED) for each in parts), rest], axis=-1
        )


def root_rate(events: Floats, exposure_s: Floats) -> Floats:
    """Return f(n, T) = sqrt((n + 3/8) / T), T in s."""
    return np.asarray(np.sqrt((events + 0.375) / exposure_s))


def contrast_sums(
    before: HalfCounts, after: HalfCounts, layout: Layout, rng: np.random.Generator | None = None
) -> Floats:
    """Return the sums of one session for one pair of windows, shape (layout.size,).

    Parameters
    ----------
    before, after
        Counts of the same neurons in the two windows.
    layout
        Which sums and in which order.
    rng
        Breaks ties of the selection; needed when the layout has draws.
    """
    b, p = before.events.sum(axis=1), after.events.sum(axis=1)
    parts = [_drive_sums(before, after), *_selected_sums(before, after, layout, rng)]
    parts += [covariance_sums(before, after), _naive_sums(before, after)]
    parts.append(pair_sums(b, p, layout.limits).sum(axis=0).ravel() / 2)
    return np.concatenate(parts)


def _drive_sums(before: HalfCounts, after: HalfCounts) -> Floats:
    return np.array([each.sum() for side in (after, before) for each in (side.events, side.exposure_s)])


def _selected_sums(
    before: HalfCounts, after: HalfCounts, layout: Layout, rng: np.random.Generator | None
) -> list[Floats]:
    n = before.events.shape[0]
    rate = before.events / before.exposure_s
    active, silent = [], []
    for half in (0, 1):
        if layout.draws:
            if rng is None:
                raise ValueError("rng is needed to break ties at random")
            rank = np.unique(rate[:, half], return_inverse=True)[1]
            key = rank + rng.random((layout.draws, n))
            ordered = np.sort(key, axis=1)
            top = (key >= ordered[:, [n - _chosen(n, ACTIVE_SHARE)]]).astype(float)
            bottom = (key <= ordered[:, [_chosen(n, SILENT_SHARE) - 1]]).astype(float)
        else:
            top = _expected_top(rate[:, half], _chosen(n, ACTIVE_SHARE))[None]
            bottom = _expected_top(-rate[:, half], _chosen(n, SILENT_SHARE))[None]
        columns = selected_columns(before, after, 1 - half)
        active.append(top @ columns)
        silent.append(bottom @ columns)
    return [np.stack(each, axis=1).ravel() for each in (active, silent)]


def selected_columns(before: HalfCounts, after: HalfCounts, other: int) -> Floats:
    """Return what is summed over neurons selected on one baseline half and measured on the ``other``.

    Returns
    -------
    array
        Events and exposure after and before, negative transients after and before, shape (neurons, 6).
    """
    measured = [after.events.sum(1), after.exposure_s.sum(1)]
    measured += [before.events[:, other], before.exposure_s[:, other]]
    measured += [after.negative.sum(1), before.negative[:, other]]
    return np.column_stack(measured)


def _chosen(n: int, share: float) -> int:
    return max(1, int(n * share + 0.5))


def _expected_top(rate: Floats, m: int) -> Floats:
    """Return the probability of each neuron to be among the top ``m`` when ties are broken at random."""
    cut = np.partition(rate, rate.size - m)[rate.size - m]
    above, tied = rate > cut, rate == cut
    chance: Floats = above + tied * ((m - above.sum()) / tied.sum())
    return chance


def covariance_sums(before: HalfCounts, after: HalfCounts) -> Floats:
    """Return the centred cross-products of f over neurons, in the order of `Layout.covariance`."""
    b, p = (root_rate(each.events, each.exposure_s) for each in (before, after))
    both = np.concatenate([b, p], axis=1)
    centred = both - both.mean(axis=0)
    # Rounding must not give neurons that are all alike, e.g. all silent, a covariance.
    centred[:, np.ptp(both, axis=0) == 0] = 0
    products = centred.T @ centred
    across = products[:2, 2:].mean()
    return np.array([across, products[0, 1], products[2, 3], *np.diag(products)])


def naive_columns(before: HalfCounts, after: HalfCounts) -> tuple[Floats, Floats]:
    """Return what the naive fractions sum over neurons.

    Returns
    -------
    flags
        One, down, up, silent before, silent before and active after, shape (neurons, 5).
    roots
        Change of f and its baseline, whose correlation is usually reported, shape (neurons, 2).
    """
    counts = [(each.events.sum(1), each.exposure_s.sum(1)) for each in (before, after)]
    b, p = (events / exposure_s for events, exposure_s in counts)
    silent_b, silent_p = (60 * each < SILENT_RATE_PER_MIN for each in (b, p))
    flags = [np.ones(b.size), p * NAIVE_FACTOR < b, p > b * NAIVE_FACTOR, silent_b, silent_b & ~silent_p]
    f_b, f_p = (root_rate(*each) for each in counts)
    return np.column_stack(flags).astype(float), np.column_stack([f_p - f_b, f_b])


def _naive_sums(before: HalfCounts, after: HalfCounts) -> Floats:
    flags, roots = naive_columns(before, after)
    change, base = (roots - roots.mean(axis=0)).T
    return np.array([*flags.sum(axis=0), change @ base, change @ change, base @ base])


def _log_ratio(sums: Floats) -> Floats:
    """Return log2 of the ratio of rates; the last axis holds events and exposure after and before."""
    # Half an event on average is added to either sum, in proportion to its exposure, so that equal
    # rates stay equal.
    after, t_after, before, t_before = np.moveaxis(sums[..., :4], -1, 0)
    both = t_after + t_before
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (after / t_after + 1 / both) / (before / t_before + 1 / both)
        return np.asarray(np.log2(ratio))


def _expected_events(sums: Floats) -> Floats:
    after, t_after, before, t_before = np.moveaxis(sums[..., :4], -1, 0)
    rate = (after + before) / (t_after + t_before)
    return np.asarray(rate * np.minimum(t_after, t_before))


def net_drive(sums: Floats, layout: Layout) -> Floats:
    """Return G = log2 of the ratio of event rates after and before."""
    return _log_ratio(layout.drive(sums))


def active_response(sums: Floats, layout: Layout) -> Floats:
    """Return R_act: the log2 response of the top quarter, selected on one half, measured on the other."""
    return np.asarray(_log_ratio(layout.active(sums)).mean(axis=(-2, -1)))


def silent_response(sums: Floats, layout: Layout) -> Floats:
    """Return R_sil: the same for the bottom half of the neurons."""
    return np.asarray(_log_ratio(layout.silent(sums)).mean(axis=(-2, -1)))


def silent_response_above_noise(sums: Floats, layout: Layout) -> Floats:
    """Return R_sil with the negative transients taken off the events; NaN when they are as many."""
    silent = layout.silent(sums)
    above = silent[..., :4].copy()
    above[..., [0, 2]] -= silent[..., 4:]
    return np.asarray(_log_ratio(above).mean(axis=(-2, -1)))


def switch_index(sums: Floats, layout: Layout) -> Floats:
    """Return SW = R_sil - R_act."""
    return silent_response(sums, layout) - active_response(sums, layout)


def state_correlation(sums: Floats, layout: Layout) -> Floats:
    """Return rho*: the correlation of states before and after, free of attenuation; NaN if undefined."""
    across, before, after, *_ = np.moveaxis(layout.covariance(sums), -1, 0)
    defined = (before > 0) & (after > 0)
    return np.where(defined, across / np.sqrt(np.where(defined, before * after, 1)), np.nan)


def reliability(sums: Floats, layout: Layout) -> Floats:
    """Return the smaller split-half correlation of the two windows; -1 if a variance is zero."""
    _, before, after, *variances = np.moveaxis(layout.covariance(sums), -1, 0)
    b1, b2, p1, p2 = variances
    found = []
    for product, spread in ((before, b1 * b2), (after, p1 * p2)):
        found.append(np.where(spread > 0, product / np.sqrt(np.where(spread > 0, spread, 1)), -1.0))
    return np.minimum(*found)


def conditional_tau(sums: Floats, layout: Layout) -> Floats:
    """Return tau_c for each limit, shape (..., limits); NaN without pairs."""
    signs, pairs = np.moveaxis(layout.pairs(sums), -1, 0)
    return np.where(pairs > 0, signs / np.where(pairs > 0, pairs, 1), np.nan)


def _share(over: int, under: int) -> Callable[[Floats, Layout], Floats]:
    def share(sums: Floats, layout: Layout) -> Floats:
        naive = layout.naive(sums)
        whole = naive[..., under]
        return np.where(whole > 0, naive[..., over] / np.where(whole > 0, whole, 1), np.nan)

    return share


def naive_correlation(sums: Floats, layout: Layout) -> Floats:
    """Return the correlation of the change of f with its baseline, as usually reported."""
    product, change, base = np.moveaxis(layout.naive(sums)[..., 5:], -1, 0)
    spread = change * base
    return np.where(spread > 0, product / np.sqrt(np.where(spread > 0, spread, 1)), np.nan)


Estimand = Callable[[Floats, Layout], Floats]

ESTIMANDS: dict[str, Estimand] = {
    "G": net_drive,
    "R_act": active_response,
    "R_sil": silent_response,
    "SW": switch_index,
    "rho_star": state_correlation,
    "naive_down": _share(1, 0),
    "naive_up": _share(2, 0),
    "naive_p_active_after_silent": _share(4, 3),
    "naive_corr": naive_correlation,
}
"""Every estimand with one value; tau_c has one per detection limit and stands apart."""

Key = tuple[str, int]
"""Name of an estimand and its detection limit, 0 for all but tau_c."""


def keys(layout: Layout) -> list[Key]:
    """Return every estimand of a layout, tau_c once per detection limit."""
    return [*((name, 0) for name in ESTIMANDS), *(("tau_c", k) for k in layout.limits)]


def evaluate(key: Key, sums: Floats, layout: Layout) -> Floats:
    """Return one estimand from sums of shape (..., layout.size)."""
    name, limit = key
    if name == "tau_c":
        return conditional_tau(sums, layout)[..., layout.limits.index(limit)]
    return ESTIMANDS[name](sums, layout)


def status(name: str, sums: Floats, layout: Layout, *, limit: int = 0) -> str:
    """Return 'ok' or why the estimand cannot be had from these sums, shape (layout.size,)."""
    if name == "tau_c":
        pairs = layout.pairs(sums)[layout.limits.index(limit), 1]
        return OK if pairs >= MIN_EXPECTED_EVENTS else FEW_PAIRS
    if name == "rho_star":
        return OK if float(reliability(sums, layout)) >= MIN_RELIABILITY else UNRELIABLE
    picks: dict[str, tuple[Floats, ...]] = {
        "G": (layout.drive(sums),),
        "R_act": (layout.active(sums),),
        "R_sil": (layout.silent(sums),),
        "SW": (layout.active(sums), layout.silent(sums)),
    }
    least = min((float(_expected_events(each).min()) for each in picks.get(name, ())), default=np.inf)
    if least < MIN_EXPECTED_EVENTS:
        return FEW_EVENTS
    return OK if np.isfinite(ESTIMANDS[name](sums, layout)) else UNDEFINED
