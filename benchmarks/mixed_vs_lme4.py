"""Time `nwbswitch.fit` beside lme4 (and statsmodels) on the same simulated rows.

Run: ``python benchmarks/mixed_vs_lme4.py [--rows 48000 192000] [--statsmodels]``. Engines that are not
installed are left out and named. Times are CPU seconds of the fit alone, with the table in memory; lme4 is
timed without lmerTest, ours with Satterthwaite's degrees of freedom and type III tests.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from nwbswitch.analysis.mixed.fit import fit

FORMULA = "y ~ drug * epoch + (1 + epoch | animal) + (1 | session) + (1 | neuron)"
LME4 = """
suppressMessages(library(lme4))
d <- read.csv(commandArgs(TRUE)[1])
for (name in c("animal", "session", "neuron")) d[[name]] <- factor(d[[name]])
t <- system.time(m <- suppressWarnings(lmer({formula}, d, control = lmerControl(calc.derivs = FALSE))))
cat(sum(t[1:2]), format(REMLcrit(m), digits = 15))
"""


def simulated(
    n_rows: int, *, n_animals: int = 24, n_sessions: int = 2, rows_per_neuron: int = 4
) -> pd.DataFrame:
    """Return rows of neurons in sessions in animals, the drug given to every second animal."""
    rng = np.random.default_rng(1)
    rows = np.arange(n_rows)
    neuron = rows // rows_per_neuron
    session = neuron * n_animals * n_sessions * rows_per_neuron // n_rows
    animal = session // n_sessions
    epoch = rows % rows_per_neuron * 2 // rows_per_neuron
    y = rng.normal(0, 0.5, n_animals)[animal] + rng.normal(0.2, 0.3, n_animals)[animal] * epoch
    y += rng.normal(0, 0.4, n_animals * n_sessions)[session] + rng.normal(0, 1.0, neuron.max() + 1)[neuron]
    y += rng.normal(size=n_rows)
    drug = np.where(animal % 2 == 0, "ketamine", "saline")
    return pd.DataFrame(
        {"y": y, "drug": drug, "epoch": epoch, "animal": animal, "session": session, "neuron": neuron}
    )


def time_ours(table: pd.DataFrame) -> tuple[float, float]:
    """Return CPU seconds and the REML criterion."""
    start = time.process_time()
    found = fit(table, FORMULA)
    return time.process_time() - start, found.criterion


def time_lme4(table: pd.DataFrame) -> tuple[float, float] | None:
    """Return CPU seconds and the REML criterion of lme4, or None where Rscript or lme4 is missing."""
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
    seconds, criterion = done.stdout.split()
    return float(seconds), float(criterion)


def time_statsmodels(table: pd.DataFrame) -> tuple[float, float]:
    """Return CPU seconds and the REML criterion of statsmodels MixedLM (variance components per animal)."""
    from statsmodels.regression.mixed_linear_model import MixedLM

    start = time.process_time()
    components = {"session": "0 + C(session)", "neuron": "0 + C(neuron)"}
    model = MixedLM.from_formula(
        "y ~ drug * epoch", table, groups="animal", re_formula="1 + epoch", vc_formula=components
    )
    found = model.fit(reml=True)
    return time.process_time() - start, -2.0 * float(found.llf)


def main() -> None:
    """Print one line per number of rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[48_000, 192_000])
    parser.add_argument(
        "--statsmodels", action="store_true", help="also statsmodels (minutes from 10,000 rows)"
    )
    arguments = parser.parse_args()
    fit(simulated(960, rows_per_neuron=2), FORMULA)  # imports are not timed
    for n_rows in arguments.rows:
        table = simulated(n_rows)
        ours, criterion = time_ours(table)
        line = f"{n_rows:>9,} rows: ours {ours:.2f} s"
        lme4 = time_lme4(table)
        if lme4 is None:
            line += ", lme4 not installed"
        else:
            seconds, reached = lme4
            line += f", lme4 {seconds:.2f} s, ratio {seconds / ours:.1f}"
            line += f", criterion - lme4's {criterion - reached:.1e}"
        if arguments.statsmodels:
            seconds, reached = time_statsmodels(table)
            line += f", statsmodels {seconds:.1f} s, criterion - statsmodels' {criterion - reached:.1e}"
        print(line)


if __name__ == "__main__":
    main()
