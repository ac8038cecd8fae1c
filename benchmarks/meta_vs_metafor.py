"""Time multilevel and univariate meta-analyses beside metafor on the same simulated effects, in one run.

Run: ``python benchmarks/meta_vs_metafor.py [--studies 50 200 1000] [--metafor-up-to 200]``. Five effects
per study with correlated sampling errors. Times are CPU seconds from the table in memory to the fit with
its tests, one thread each; metafor's is the better of dense and ``sparse=TRUE``. The criterion is -2
log-likelihood, ours minus metafor's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from nwbswitch.analysis.meta_analysis.known_covariance import KnownCovariance, known_covariance
from nwbswitch.analysis.meta_analysis.meta import meta
from nwbswitch.analysis.meta_analysis.multilevel import multilevel

PER_STUDY = 5
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
MODELS = ("three levels, V", "multivariate UN, V", "CR2 of three levels", "univariate REML")
METAFOR = """
suppressMessages({library(metafor); library(clubSandwich); library(jsonlite)})
d <- read.csv(commandArgs(TRUE)[1])
V <- vcalc(vi, cluster = study, obs = effect, rho = 0.5, data = d)
timed <- function(f) {
  t <- system.time(m <- f())
  list(seconds = sum(t[1:2]), criterion = -2 * as.numeric(logLik(m)), fit = m)
}
best <- function(f) {
  dense <- timed(function() f(FALSE))
  sparse <- timed(function() f(TRUE))
  if (dense$seconds < sparse$seconds) dense else sparse
}
three <- best(function(s) rma.mv(yi, V, random = ~ 1 | study/effect, data = d, sparse = s))
multi <- best(function(s)
  rma.mv(yi, V, mods = ~ outcome - 1, random = ~ outcome | study, struct = "UN", data = d, sparse = s))
fit <- three$fit
t <- system.time(coef_test(fit, vcov = vcovCR(fit, cluster = d$study, type = "CR2")))
uni <- timed(function() rma(yi, vi, data = d, test = "knha"))
kept <- c("seconds", "criterion")
out <- list(three[kept], multi[kept], list(seconds = sum(t[1:2])), uni["seconds"])
cat(toJSON(out, auto_unbox = TRUE, digits = NA))
"""


def simulated(n_studies: int) -> pd.DataFrame:
    """Return five effects of two outcomes in each study."""
    rng = np.random.default_rng(n_studies)
    study = np.repeat(np.arange(n_studies), PER_STUDY)
    variance = np.repeat(rng.uniform(0.02, 0.1, n_studies), PER_STUDY)
    shared = np.repeat(rng.normal(size=n_studies), PER_STUDY)
    error = np.sqrt(variance) * (np.sqrt(0.5) * shared + np.sqrt(0.5) * rng.normal(size=len(study)))
    between = rng.normal(0, 0.3, n_studies)[study] + rng.normal(0, 0.2, len(study))
    outcome = np.where(np.arange(len(study)) % PER_STUDY % 2, "SW", "rho")
    return pd.DataFrame(
        {
            "study": study + 1,
            "effect": np.arange(len(study)) + 1,
            "outcome": outcome,
            "yi": 0.3 + between + error,
            "vi": variance,
        }
    )


def ours(data: pd.DataFrame) -> list[tuple[float, float]]:
    """Return seconds and -2 log-likelihood of each model."""
    V = known_covariance(data, variance="vi", cluster="study", rho=0.5)
    multilevel(data[:50], effect="yi", V=KnownCovariance(V.matrix[:50][:, :50]), random="~ 1 | study/effect")
    kept: list[Any] = []

    def timed(run: Callable[[], Any]) -> float:
        start = time.process_time()
        kept.append(run())
        return time.process_time() - start

    found = []
    three = timed(lambda: multilevel(data, effect="yi", V=V, random="~ 1 | study/effect", test="z"))
    fit = kept[-1]
    found.append((three, -2.0 * fit.log_likelihood))
    multi = timed(
        lambda: multilevel(
            data, effect="yi", V=V, random="~ outcome | study", moderators="outcome - 1", test="z"
        )
    )
    found.append((multi, -2.0 * kept[-1].log_likelihood))
    found.append((timed(lambda: fit.robust(cluster="study").table()), float("nan")))
    univariate = timed(lambda: meta(data, effect="yi", variance="vi"))
    found.append((univariate, float("nan")))
    return found


def metafor(data: pd.DataFrame) -> list[tuple[float, float]]:
    """Return the same from R."""
    with tempfile.TemporaryDirectory() as folder:
        table, script = Path(folder) / "effects.csv", Path(folder) / "metafor.R"
        data.to_csv(table, index=False)
        script.write_text(METAFOR)
        done = subprocess.run(
            ["Rscript", str(script), str(table)],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, **ONE_THREAD},
        )
    return [(each["seconds"], float(each.get("criterion") or "nan")) for each in json.loads(done.stdout)]


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--metafor-up-to", type=int, default=200)
    asked = parser.parse_args()
    with_r = shutil.which("Rscript") is not None
    if not with_r:
        print("Rscript is not installed: metafor is left out.")
    print("| studies, effects | model | ours, s | metafor, s | ratio | criterion, ours - metafor's |")
    print("| --- | --- | --- | --- | --- | --- |")
    for n in asked.studies:
        data = simulated(n)
        mine = ours(data)
        theirs = metafor(data) if with_r and n <= asked.metafor_up_to else [None] * len(MODELS)
        for name, own, other in zip(MODELS, mine, theirs, strict=True):
            shown = ["", "", ""]
            if other is not None:
                away = own[1] - other[1]
                shown = [
                    f"{other[0]:.2f}",
                    f"{other[0] / own[0]:.0f}",
                    f"{away:.0e}" if np.isfinite(away) else "",
                ]
            print(f"| {n}, {len(data)} | {name} | {own[0]:.3f} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
