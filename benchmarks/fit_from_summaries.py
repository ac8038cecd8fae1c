"""Time the fit of many recording sessions from their summaries, as a collaborator would send them.

Run: ``python benchmarks/fit_from_summaries.py [--labs 10 100] [--animals 20] [--sessions 5]``.
Every lab's rows (two per neuron) are simulated, summed and saved, which is timed apart; then all files are
read and fitted with Kenward-Roger degrees of freedom. CPU seconds, one thread.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from nwbswitch import fit
from nwbswitch.analysis.formulas.formula import read_formula
from nwbswitch.analysis.summaries.summary_file import save_summaries
from nwbswitch.analysis.summaries.unit_map import summarise_rows

FORMULA = "y ~ drug * epoch + (1 + epoch | lab) + (1 + epoch | animal) + (1 + epoch | session) + (1 | neuron)"


def lab_rows(lab: int, *, n_animals: int, n_sessions: int, n_neurons: int) -> pd.DataFrame:
    """Return the rows of one lab: animals, each with sessions under drug or saline, each with neurons."""
    rng = np.random.default_rng(lab)
    shape = (n_animals, n_sessions, n_neurons)
    animal, session, neuron = (each.ravel() for each in np.indices(shape))
    session = animal * n_sessions + session
    neuron = session * n_neurons + neuron
    drug = session % 2
    level = rng.normal(0, 0.3) + rng.normal(0, 0.4, n_animals)[animal]
    level += rng.normal(0, 0.2, n_animals * n_sessions)[session] + rng.normal(0, 0.8, len(neuron))
    slope = 0.3 + rng.normal(0, 0.1) + rng.normal(0, 0.25, n_animals)[animal]
    slope += rng.normal(0, 0.15, n_animals * n_sessions)[session] + 0.2 * drug
    epochs = [
        pd.DataFrame(
            {
                "y": level + slope * epoch + rng.normal(0, 0.6, len(level)),
                "drug": pd.Categorical.from_codes(drug, ["saline", "ketamine"]),
                "epoch": epoch,
                "lab": f"lab{lab}",
                "animal": lab * n_animals + animal,
                "session": lab * n_animals * n_sessions + session,
                "neuron": lab * len(level) + neuron,
            }
        )
        for epoch in (0, 1)
    ]
    return pd.concat(epochs, ignore_index=True)


def measured(n_labs: int, *, n_animals: int, n_sessions: int, n_neurons: int) -> str:
    """Return one line: what the map and the fit took."""
    formula = read_formula(FORMULA)
    with tempfile.TemporaryDirectory() as folder:
        mapped = 0.0
        for lab in range(n_labs):
            rows = lab_rows(lab, n_animals=n_animals, n_sessions=n_sessions, n_neurons=n_neurons)
            start = time.process_time()
            save_summaries(
                summarise_rows(rows, formula, partial=True), Path(folder) / f"lab{lab:03}.summary.npz"
            )
            mapped += time.process_time() - start
        size = sum(each.stat().st_size for each in Path(folder).iterdir())
        start = time.process_time()
        found = fit(Path(folder), FORMULA)
        table = found.table()
        fitted = time.process_time() - start
    sessions = n_labs * n_animals * n_sessions
    effect = table.set_index("term").loc["drugketamine:epoch"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
    return (
        f"{n_labs} labs, {sessions:,} sessions, {2 * sessions * n_neurons:,} rows: map {mapped:.2f} s, "
        f"files {size / 1e6:.2f} MB, read and fit {fitted:.2f} s, peak {peak:.0f} MB; drug by epoch "
        f"{effect['estimate']:.4f} (true .2), SE {effect['se']:.4f}, df {effect['df']:.1f}, "
        f"converged {found.info['converged']}"
    )


def main() -> None:
    """Print one line per number of labs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--labs", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--animals", type=int, default=20)
    parser.add_argument("--sessions", type=int, default=5)
    parser.add_argument("--neurons", type=int, default=1000)
    given = parser.parse_args()
    for n_labs in given.labs:
        line = measured(n_labs, n_animals=given.animals, n_sessions=given.sessions, n_neurons=given.neurons)
        print(line, flush=True)


if __name__ == "__main__":
    main()
