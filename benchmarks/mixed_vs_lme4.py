"""Time a mixed model beside lme4 and statsmodels on the same simulated rows, in one run.

Run: ``python benchmarks/mixed_vs_lme4.py [--designs balanced unbalanced trials animals500] [--rows 5000 ...]
[--lme4-up-to 1600000] [--statsmodels-up-to 8000]``. Times are CPU seconds with the table in memory. Ours go
from rows to the table of fixed effects with Kenward-Roger degrees of freedom; lme4's and statsmodels' are
the fit alone, lme4 without derivative checks. Every measurement has a process of its own with one thread;
memory is what the process grew by above the table. Engines that are not installed are left out and named.
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

FORMULA = "y ~ drug * epoch + (1 + epoch | animal) + (1 | session) + (1 | neuron)"
DESIGNS = ("balanced", "unbalanced", "trials", "animals500")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
LME4 = """
suppressMessages(library(lme4))
d <- read.csv(commandArgs(TRUE)[1], stringsAsFactors = TRUE)
for (name in c("animal", "session", "neuron")) d[[name]] <- factor(d[[name]])
t <- system.time(m <- suppressWarnings(lmer({formula}, d, control = lmerControl(calc.derivs = FALSE))))
cat(sum(t[1:2]), format(REMLcrit(m), digits = 15))
"""


def simulated(n_rows: int, design: str) -> pd.DataFrame:
    """Return rows of neurons in sessions in animals, the drug given to every second animal.

    ``balanced``: 24 animals, 2 sessions each, 4 rows per neuron, 2 in each epoch. ``unbalanced``: a third of
    the rows is missing, sessions differ in size. ``trials``: 20 rows per neuron and epoch. ``animals500``:
    500 animals. About ``n_rows`` rows.
    """
    rng = np.random.default_rng(1)
    n_animals = 500 if design == "animals500" else 24
    per_neuron = 40 if design == "trials" else 4
    made = int(n_rows * 1.5) if design == "unbalanced" else n_rows
    n_sessions = 2 * n_animals
    share = rng.gamma(4.0, size=n_sessions) if design == "unbalanced" else np.ones(n_sessions)
    n_neurons = np.maximum(1, np.round(made / per_neuron * share / share.sum()).astype(int))
    session_of = np.repeat(np.arange(n_sessions), n_neurons)
    neuron = np.repeat(np.arange(len(session_of)), per_neuron)
    if design == "unbalanced":
        neuron = neuron[rng.random(len(neuron)) < 2.0 / 3.0]
    epoch = np.arange(len(neuron)) % 2
    session = session_of[neuron]
    animal = session // 2
    y = rng.normal(0, 0.5, n_animals)[animal] + rng.normal(0.2, 0.3, n_animals)[animal] * epoch
    y += rng.normal(0, 0.4, n_sessions)[session] + rng.normal(0, 1.0, len(session_of))[neuron]
    y += rng.normal(size=len(neuron))
    drug = pd.Categorical.from_codes(animal % 2, ["saline", "ketamine"])
    return pd.DataFrame(
        {"y": y, "drug": drug, "epoch": epoch, "animal": animal, "session": session, "neuron": neuron}
    )


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


def one(engine: str, table: pd.DataFrame) -> dict[str, float] | None:
    """Return what `measured` returns, in this process."""
    if engine == "lme4":
        return _lme4(table)
    if engine == "ours":
        from nwbswitch import fit

        fit(simulated(960, "balanced"), FORMULA).table()  # imports are not timed
        before = _peak_mb()
        start = time.process_time()
        found = fit(table, FORMULA)
        found.table()
        seconds = time.process_time() - start
        return {"seconds": seconds, "criterion": found.criterion, "mb": _peak_mb() - before}
    from statsmodels.regression.mixed_linear_model import MixedLM

    before = _peak_mb()
    start = time.process_time()
    components = {"session": "0 + C(session)", "neuron": "0 + C(neuron)"}
    model = MixedLM.from_formula(
        "y ~ drug * epoch", table, groups="animal", re_formula="1 + epoch", vc_formula=components
    )
    criterion = -2.0 * float(model.fit(reml=True).llf)
    return {"seconds": time.process_time() - start, "criterion": criterion, "mb": _peak_mb() - before}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0


def _lme4(table: pd.DataFrame) -> dict[str, float] | None:
    rscript = shutil.which("Rscript")
    if rscript is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        data, script = Path(folder) / "data.csv", Path(folder) / "fit.R"
        table.to_csv(data, index=False)
        script.write_text(LME4.replace("{formula}", FORMULA))
        done = subprocess.run([rscript, str(script), str(data)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None
    seconds, criterion = map(float, done.stdout.split())
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024.0
    return {"seconds": seconds, "criterion": criterion, "mb": peak}


def main() -> None:
    """Print one line per design and number of rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--designs", nargs="+", choices=DESIGNS, default=["balanced"])
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000, 48_000, 192_000])
    parser.add_argument("--lme4-up-to", type=int, default=200_000, metavar="ROWS")
    parser.add_argument("--statsmodels-up-to", type=int, default=0, metavar="ROWS")
    parser.add_argument("--one", choices=("ours", "lme4", "statsmodels"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(given.one, simulated(given.rows[0], given.designs[0]))))
        return
    for design in given.designs:
        for n_rows in given.rows:
            print(_line(design, n_rows, given.lme4_up_to, given.statsmodels_up_to), flush=True)


def _line(design: str, n_rows: int, lme4_up_to: int, statsmodels_up_to: int) -> str:
    ours = measured("ours", n_rows, design)
    if ours is None:
        return f"{design:>10} {n_rows:>10,} rows: failed"
    line = f"{design:>10} {n_rows:>10,} rows: ours {ours['seconds']:.3f} s, {ours['mb']:.0f} MB"
    for peer, limit in (("lme4", lme4_up_to), ("statsmodels", statsmodels_up_to)):
        if n_rows > limit:
            continue
        other = measured(peer, n_rows, design)
        if other is None:
            line += f"; {peer} is not installed or failed"
            continue
        line += f"; {peer} {other['seconds']:.2f} s, ratio {other['seconds'] / ours['seconds']:.0f}"
        line += f", criterion - {peer}'s {ours['criterion'] - other['criterion']:.1e}"
    return line


if __name__ == "__main__":
    main()
