"""Time models with crossed groups beside lme4 on the same simulated rows, in one run.

Run: ``python benchmarks/crossed_vs_lme4.py [--designs slopes partial chained] [--rows 100000]
[--engines sparse auto]``.
Times are CPU seconds of one thread with the table in memory. Ours go from rows to the table of fixed
effects with Kenward-Roger degrees of freedom; lme4's are the fit alone, without derivative checks. Every
measurement has a process of its own; memory is what the process grew by above the table (lme4: in all).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

FORMULAS = {
    "slopes": "y ~ x + (1 + x | subject) + (1 + x | item)",
    "partial": "y ~ x + (1 | subject) + (1 | item)",
    "chained": "y ~ x + (1 | subject) + (1 | item)",
}
ENGINES = ("sparse", "auto")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
LME4 = """
suppressMessages(library(lme4))
d <- read.csv(commandArgs(TRUE)[1], stringsAsFactors = TRUE)
t <- system.time(m <- suppressWarnings(lmer({formula}, d, control = lmerControl(calc.derivs = FALSE))))
cat(sum(t[1:2]), format(REMLcrit(m), digits = 15))
"""


def simulated(n_rows: int, design: str) -> pd.DataFrame:
    """Return rows of subjects and items.

    ``slopes``: every subject with each of 50 items, both with random slopes (2,000 subjects at 100,000
    rows). ``partial``: subjects meet 20 of many items, some more popular (5,000 x 1,000 at 100,000 rows).
    ``chained``: the same number of both, who meet their neighbours only, as pupils and teachers of schools
    along a road (10,000 x 10,000 at 100,000 rows), so that one part holds them all.
    """
    rng = np.random.default_rng(1)
    if design == "slopes":
        subjects, items = n_rows // 50, 50
        subject, item = np.repeat(np.arange(subjects), items), np.tile(np.arange(items), subjects)
        x = rng.permuted(np.tile(np.arange(items) % 2, (subjects, 1)), axis=1).ravel() - 0.5
    elif design == "partial":
        subjects, items = n_rows // 20, n_rows // 100
        popular = rng.gamma(1.0, size=items)
        subject = rng.integers(0, subjects, n_rows)
        item, x = rng.choice(items, n_rows, p=popular / popular.sum()), rng.integers(0, 2, n_rows) - 0.5
    else:
        subjects = items = n_rows // 10
        subject = rng.integers(0, subjects, n_rows)
        item = np.clip(subject + rng.integers(-3, 4, n_rows), 0, items - 1)
        x = rng.integers(0, 2, n_rows) - 0.5
    own, shared = rng.normal(size=(subjects, 2)), rng.normal(size=(items, 2))
    y = 1.0 + 0.2 * x + 0.6 * own[subject, 0] + 0.4 * shared[item, 0] + rng.normal(size=len(x))
    if design == "slopes":
        y += 0.3 * own[subject, 1] * x + 0.2 * shared[item, 1] * x
    return pd.DataFrame({"y": y, "x": x, "subject": _labels("s", subject), "item": _labels("i", item)})


def _labels(letter: str, codes: np.ndarray) -> list[str]:
    return [f"{letter}{code}" for code in codes.tolist()]


def measured(engine: str, n_rows: int, design: str) -> dict[str, float] | None:
    """Return seconds, criterion and megabytes of one engine, from a process of its own."""
    command = [sys.executable, __file__, "--one", engine, "--rows", str(n_rows), "--designs", design]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **ONE_THREAD}
    )
    if done.returncode != 0:
        sys.stderr.write(done.stderr[-2000:])
        return None
    found: dict[str, float] | None = json.loads(done.stdout)
    return found


def one(engine: str, n_rows: int, design: str) -> dict[str, float] | None:
    """Return what `measured` returns, in this process."""
    table, formula = simulated(n_rows, design), FORMULAS[design]
    if engine == "lme4":
        return _lme4(table, formula)
    from nwbswitch.analysis.mixed.fit import fit

    fit(simulated(2_000, "slopes"), FORMULAS["slopes"], engine=engine).table()  # imports are not timed
    before = _peak_mb()
    start = time.process_time()
    found = fit(table, formula, engine=engine)
    found.table()
    seconds = time.process_time() - start
    return {"seconds": seconds, "criterion": found.criterion, "mb": _peak_mb() - before}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def _lme4(table: pd.DataFrame, formula: str) -> dict[str, float] | None:
    rscript = shutil.which("Rscript")
    if rscript is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        data, script = Path(folder) / "data.csv", Path(folder) / "fit.R"
        table.to_csv(data, index=False)
        script.write_text(LME4.replace("{formula}", formula))
        done = subprocess.run([rscript, str(script), str(data)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None
    seconds, criterion = map(float, done.stdout.split())
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024.0
    return {"seconds": seconds, "criterion": criterion, "mb": peak}


def main() -> None:
    """Print one line per design, number of rows and engine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--designs", nargs="+", choices=list(FORMULAS), default=["slopes", "partial"])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000])
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=["sparse"])
    parser.add_argument("--lme4-up-to", type=int, default=200_000, metavar="ROWS")
    parser.add_argument("--one", choices=(*ENGINES, "lme4"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(given.one, given.rows[0], given.designs[0])))
        return
    for design in given.designs:
        for n_rows in given.rows:
            peer = measured("lme4", n_rows, design) if n_rows <= given.lme4_up_to else None
            for engine in given.engines:
                print(_line(design, n_rows, engine, peer), flush=True)


def _line(design: str, n_rows: int, engine: str, peer: dict[str, float] | None) -> str:
    ours = measured(engine, n_rows, design)
    if ours is None:
        return f"{design:>8} {n_rows:>10,} rows, {engine}: failed"
    line = f"{design:>8} {n_rows:>10,} rows, {engine}: {ours['seconds']:.2f} s, {ours['mb']:.0f} MB"
    if peer is None:
        return f"{line}; lme4 was left out or is not installed"
    line += (
        f"; lme4 {peer['seconds']:.2f} s, {peer['mb']:.0f} MB, ratio {peer['seconds'] / ours['seconds']:.1f}"
    )
    return f"{line}, criterion - lme4's {ours['criterion'] - peer['criterion']:.1e}"


if __name__ == "__main__":
    main()
