"""Time and memory of `switch` over many sessions, beside scipy's bootstrap on the same data.

Run: ``python benchmarks/switch_many_sessions.py [--sessions 10 100 1000] [--neurons 500] [--resamples 1000]
[--workers 2]``. Animals have 20 sessions each, saline and ketamine in turn, with the same neurons; a session
has four windows of 15 blocks. Tables are written as `measure` writes them. Each is estimated in a process of
its own with one BLAS thread per process: all estimands of all sessions, animals and arms, jackknife,
bootstrap, controls and verdict. CPU time is that of all processes, the peak that of the main one.

The peer is ``scipy.stats.bootstrap`` (vectorised, percentile, in batches) of rho*, SW and tau_c at one limit
in the drug windows of one session, written as a user of scipy would. Both draw for the same statistics of the
same session first; then what scipy would take for all sessions and both pairs of windows is its time
multiplied, beside the measured time of all of `switch`, which holds more: thirteen estimands and tau_c at
four limits, jackknives, blocks of time, animals, arms, controls and the reading of the file.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

THREADS = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
os.environ.update(THREADS)

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402

from nwbswitch.analysis.cells_file import write_cells  # noqa: E402
from nwbswitch.analysis.estimands.counts import (  # noqa: E402
    DRUG,
    SessionCounts,
    WindowCounts,
    half_counts,
)
from nwbswitch.analysis.estimands.neuron_weights import neuron_weights  # noqa: E402
from nwbswitch.analysis.estimands.primary import Layout, evaluate  # noqa: E402
from nwbswitch.analysis.estimands.weighted_sums import weighted_sums  # noqa: E402
from nwbswitch.analysis.simulation.count_studies import cells_table  # noqa: E402
from nwbswitch.schemas.worlds import World, baseline_rates, block_gains, rates_after  # noqa: E402

SESSIONS_PER_ANIMAL = 20
BLOCKS = 15
BLOCK_S = 30.0
LIMIT = 10

ESTIMATE = """
import json, resource, sys, time
from nwbswitch.analysis.verdicts.switch import switch

if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    begin = time.perf_counter()
    table = switch(job["path"], resamples=job["resamples"], workers=job["workers"]).table()
    wall = time.perf_counter() - begin
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(each.ru_utime + each.ru_stime for each in used)
    rows = int((table["level"] == "session").sum())
    print(json.dumps({"wall": wall, "cpu": cpu, "mb": used[0].ru_maxrss / 1024, "rows": rows}))
"""


def sessions(n: int, n_neurons: int) -> Iterator[SessionCounts]:
    """Yield simulated sessions: the drug exchanges the rates of 40 % of the neurons."""
    rng = np.random.default_rng(0)
    for place in range(n):
        animal, rank = divmod(place, SESSIONS_PER_ANIMAL)
        if rank == 0:
            rates = baseline_rates(n_neurons, rng)
        arm = "ketamine" if (animal + rank) % 2 else "saline"
        after = rates_after(World.SWAP, rates, rng) if arm == "ketamine" else rates
        levels = {"pseudo_baseline": rates, "pseudo_drug": rates, "baseline": rates, "drug": after}
        yield SessionCounts(
            dataset="simulated",
            animal=f"m{animal:03d}",
            session=f"s{rank:02d}",
            arm=arm,
            order=rank + 1,
            cell_type="excitatory",
            anatomical=False,
            simulated=True,
            identity=np.array([f"m{animal:03d}-{neuron}" for neuron in range(n_neurons)]),
            windows={name: _window(each, rng) for name, each in levels.items()},
        )


def _window(rates_per_min: np.ndarray, rng: np.random.Generator) -> WindowCounts:
    shape = (rates_per_min.size, BLOCKS)
    events = rng.poisson(rates_per_min[:, None] * block_gains(shape, rng) * BLOCK_S / 60).astype(float)
    negative = rng.poisson(0.02, shape).astype(float)
    return WindowCounts(events, negative, np.full(shape, BLOCK_S), 1 + np.arange(BLOCKS) % 2)


def tables(n: int, n_neurons: int) -> Iterator[pd.DataFrame]:
    """Yield the cells of one session after the other."""
    for session in sessions(n, n_neurons):
        yield cells_table([session])


def state_correlation(b1, b2, p1, p2, axis=-1):  # type: ignore[no-untyped-def]
    """Return rho* of neurons along an axis."""

    def covariance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return ((x - x.mean(axis, keepdims=True)) * (y - y.mean(axis, keepdims=True))).mean(axis)

    pairs = ((b1, p1), (b1, p2), (b2, p1), (b2, p2))
    across = sum(covariance(x, y) for x, y in pairs) / 4
    return across / np.sqrt(covariance(b1, b2) * covariance(p1, p2))


def switch_index(n1, n2, m, t1, t2, u, axis=-1):  # type: ignore[no-untyped-def]
    """Return SW of neurons along the last axis; ties fall as the resample happens to be ordered."""
    found = 0.0
    for chosen_n, chosen_t, other_n, other_t in ((n1, t1, n2, t2), (n2, t2, n1, t1)):
        order = np.argsort(chosen_n / chosen_t, axis=-1, kind="stable")
        size = order.shape[-1]
        for sign, places in (
            (1, order[..., : int(size / 2 + 0.5)]),
            (-1, order[..., -int(size / 4 + 0.5) :]),
        ):
            after, t_after, before, t_before = (
                np.take_along_axis(each, places, -1).sum(-1) for each in (m, u, other_n, other_t)
            )
            both = t_after + t_before
            found = found + sign * np.log2((after / t_after + 1 / both) / (before / t_before + 1 / both)) / 2
    return found


def conditional_tau(b, p, axis=-1):  # type: ignore[no-untyped-def]
    """Return tau_c at `LIMIT`; two copies of a neuron are a pair without a sign that does not count."""
    i, j = np.triu_indices(b.shape[-1], 1)
    total = b + p
    kept = (b[..., i] + p[..., j] >= LIMIT) & (b[..., j] + p[..., i] >= LIMIT)
    kept &= (total[..., i] >= LIMIT) & (total[..., j] >= LIMIT)
    sign = np.sign(b[..., i] - b[..., j]) * np.sign(p[..., i] - p[..., j])
    return (sign * kept).sum(-1) / kept.sum(-1)


def beside_scipy(n_neurons: int, resamples: int) -> float:
    """Print both intervals and times for one session; return scipy's CPU seconds for rho* and SW."""
    from scipy.stats import bootstrap

    session = list(sessions(2, n_neurons))[1]
    counts = half_counts(session, DRUG)
    assert counts is not None
    before, after, chosen = counts
    b, p = (np.sqrt((each.events + 0.375) / each.exposure_s).T for each in (before, after))
    sums = (*before.events.T, after.events.sum(1), *before.exposure_s.T, after.exposure_s.sum(1))
    samples = {
        "rho_star": ((*b, *p), state_correlation, 50),
        "SW": (sums, switch_index, 50),
        "tau_c": ((before.events.sum(1), after.events.sum(1)), conditional_tau, 4),
    }
    keys = {"rho_star": ("rho_star", 0), "SW": ("SW", 0), "tau_c": ("tau_c", LIMIT)}
    seconds, peers = {}, {}
    times = {"rho_star": 10, "SW": 10, "tau_c": 1}
    for place, (name, (data, statistic, batch)) in enumerate(samples.items()):
        begin = time.process_time()
        peers[name] = bootstrap(
            data,
            statistic,
            n_resamples=times[name] * resamples,
            batch=batch,
            vectorized=True,
            paired=True,
            method="percentile",
            rng=np.random.default_rng(place),
        )
        seconds[name] = (time.process_time() - begin) / times[name]
    ours, drawn = {}, {}
    for what, limits, factor in (("rho_star and SW", (), 10), ("all three", (LIMIT,), 1)):
        layout = Layout(0, limits)
        begin = time.process_time()
        n = factor * resamples
        weights = neuron_weights(session.animal, session.identity, resamples=n, seed=0)[chosen]
        found = weighted_sums(before, after, weights, layout)
        for name, key in keys.items():
            if key[1] in (0, *limits):
                ends = np.quantile(evaluate(key, found, layout), [0.025, 0.975], method="weibull")
                drawn.setdefault(name, ends)
        ours[what] = (time.process_time() - begin) / factor
    print(f"{n_neurons} neurons, {resamples} resamples, CPU s of one session and pair of windows:")
    for name, peer in peers.items():
        limits_of, mine = np.array([*peer.confidence_interval]), drawn[name]
        # A quantile at 2.5 % of a normal sample varies with 2.67 SD / sqrt(resamples), here twice.
        n = times[name] * resamples
        error = 2.67 * float(peer.standard_error) / np.sqrt(n) * np.sqrt(2)
        apart = float(np.abs(limits_of - mine).max()) / error
        shown = [f"{each[0]:.4f} to {each[1]:.4f}" for each in (limits_of, mine)]
        print(
            f"  {name:9s} scipy {shown[0]}, ours {shown[1]} ({n} resamples), "
            f"at most {apart:.1f} Monte Carlo standard errors apart"
        )
    two = seconds["rho_star"] + seconds["SW"]
    for what, theirs in (("rho_star and SW", two), ("all three", two + seconds["tau_c"])):
        print(f"  {what}: scipy {theirs:.3f}, ours {ours[what]:.3f}, ratio {theirs / ours[what]:.1f}")
    return sum(seconds.values())


def main() -> None:
    """Print one row per count of sessions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--neurons", type=int, default=500)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    peer = beside_scipy(given.neurons, given.resamples)
    print(
        "sessions  rows of cells  wall s  CPU s  CPU s/session  peak MB  scipy's CPU s, extrapolated  ratio"
    )
    with tempfile.TemporaryDirectory() as folder:
        for n in given.sessions:
            path = Path(folder, f"cells{n}.parquet")
            write_cells(path, tables(n, given.neurons), {})
            job = {"path": str(path), "resamples": given.resamples, "workers": given.workers}
            done = subprocess.run(
                [sys.executable, "-c", ESTIMATE, json.dumps(job)],
                check=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **THREADS},
            )
            found = json.loads(done.stdout)
            path.unlink()
            scipy_s = 2 * n * peer
            rows = n * given.neurons * BLOCKS * 4
            print(
                f"{n:8d} {rows:14d} {found['wall']:7.1f} {found['cpu']:6.1f} {found['cpu'] / n:14.3f} "
                f"{found['mb']:8.0f} {scipy_s:28.0f} {scipy_s / found['cpu']:6.1f}",
                flush=True,
            )
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    print(f"load of the machine at the end: {load} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
