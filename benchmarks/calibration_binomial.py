"""Print how often tests of yes/no outcomes or counts reject: type I error, or power with an effect.

python benchmarks/calibration_binomial.py                         4, 6 and 12 animals per arm, 600 sets each
python benchmarks/calibration_binomial.py --outcome counts        event counts of neurons
python benchmarks/calibration_binomial.py --sets 100 --animals 3 --effect 1.0
"""

from __future__ import annotations

import time

import click

from nwbswitch.analysis.glmm.calibration import (
    COUNT_TESTS,
    TESTS,
    Outcome,
    SessionDesign,
    rejection_rates,
)

# The design's own simulation, 600 sets; its Monte-Carlo standard errors are .008 to .02.
PUBLISHED = {
    "chi-square over neurons": {4: 0.48, 6: 0.44, 12: 0.48},
    "GLMM Laplace z": {4: 0.135, 6: 0.088, 12: 0.088},
    "GLMM Laplace t": {4: 0.070, 6: 0.058, 12: 0.077},
    "GEE robust z": {4: 0.16, 6: 0.11, 12: 0.09},
    "GEE bias-reduced t": {4: 0.070, 6: 0.053, 12: 0.043},
    "animal-logit t": {4: 0.048, 6: 0.048, 12: 0.068},
}


@click.command()
@click.option("--outcome", type=click.Choice(["yes-no", "counts"]), default="yes-no", show_default=True)
@click.option("--sets", default=600, show_default=True, help="Simulated data sets per size.")
@click.option("--animals", multiple=True, type=int, default=(4, 6, 12), show_default=True, help="Per arm.")
@click.option("--sessions", default=2, show_default=True, help="Per animal.")
@click.option("--neurons", default=50.0, show_default=True, help="Mean per session.")
@click.option("--animal-sd", default=0.6, show_default=True)
@click.option("--session-sd", default=0.3, show_default=True)
@click.option("--effect", default=0.0, show_default=True, help="Log odds or rate ratio of the arms.")
@click.option("--seed", default=0, show_default=True)
def main(
    outcome: Outcome,
    sets: int,
    animals: tuple[int, ...],
    sessions: int,
    neurons: float,
    animal_sd: float,
    session_sd: float,
    effect: float,
    seed: int,
) -> None:
    """Print the share of simulated studies in which each test rejects at 5 %, with Monte-Carlo SE."""
    click.echo(f"{sets} sets each; in brackets Monte-Carlo SE, then the design's own number if it has one")
    click.echo(f"{'animals per arm':28s}" + "".join(f"{each:>24d}" for each in animals))
    rows: dict[str, list[str]] = {test: [] for test in (TESTS if outcome == "yes-no" else COUNT_TESTS)}
    seconds = []
    for n in animals:
        started = time.perf_counter()
        design = SessionDesign(
            n,
            sessions_per_animal=sessions,
            neurons_mean=neurons,
            animal_sd=animal_sd,
            session_sd=session_sd,
            effect=effect,
        )
        for each in rejection_rates(design, n_sets=sets, seed=seed, outcome=outcome).itertuples():
            same = outcome == "yes-no" and design == SessionDesign(n)
            published = PUBLISHED.get(str(each.test), {}).get(n) if same else None
            beside = f" {published:.3f}" if published is not None else ""
            rows[str(each.test)].append(f"{each.rejected:.3f} ({each.mc_se:.3f}){beside}")
        seconds.append(time.perf_counter() - started)
    for test, cells in rows.items():
        click.echo(f"{test:28s}" + "".join(f"{each:>24s}" for each in cells))
    click.echo(f"{'seconds':28s}" + "".join(f"{each:>24.1f}" for each in seconds))


if __name__ == "__main__":
    main()
