"""Print what the estimands and the verdict make of simulated studies with a known truth.

python benchmarks/calibration.py                      both tables, modest repetitions
python benchmarks/calibration.py verdicts --repetitions 1000 --animals 6 --animals 12
python benchmarks/calibration.py estimands --neurons 60 --window-s 600
"""

from __future__ import annotations

import time
from collections import Counter

import click
import numpy as np

from nwbswitch.analysis.estimands.counts import DRUG, half_counts
from nwbswitch.analysis.estimands.primary import ESTIMANDS, Layout, contrast_sums
from nwbswitch.analysis.simulation.count_studies import SCENARIOS, simulate_counts, simulate_study
from nwbswitch.analysis.verdicts.arm_analysis import analyse_arms
from nwbswitch.analysis.verdicts.verdict import MARGIN
from nwbswitch.schemas.worlds import World

NAIVE = ("naive_down", "naive_up", "naive_p_active_after_silent", "naive_corr")
SHOWN = (*NAIVE, "R_act", "R_sil", "SW", "rho_star")


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Calibrate the estimands and the verdict on simulated counts."""
    if context.invoked_subcommand is None:
        context.invoke(estimands)
        context.invoke(verdicts)


@main.command()
@click.option("--neurons", default=2_000, show_default=True)
@click.option("--window-s", default=120.0, show_default=True, help="Length of a window, s.")
@click.option("--repetitions", default=40, show_default=True)
@click.option("--draws", default=20, show_default=True, help="Draws that break ties.")
@click.option("--seed", default=0, show_default=True)
def estimands(neurons: int, window_s: float, repetitions: int, draws: int, seed: int) -> None:
    """Print the mean of each estimand in each world, with its Monte-Carlo standard error."""
    rng = np.random.default_rng(seed)
    layout = Layout(draws, ())
    click.echo(f"{neurons} neurons, windows of {window_s:g} s, {repetitions} repetitions: mean (MC SE, SD)")
    click.echo(f"{'':28s}" + "".join(f"{world.value:>24s}" for world in World))
    found: dict[str, list[str]] = {name: [] for name in SHOWN}
    for world in World:
        values = []
        for _ in range(repetitions):
            session = simulate_counts(world, n_neurons=neurons, window_s=window_s, rng=rng)
            counts = half_counts(session, DRUG)
            assert counts is not None
            sums = contrast_sums(counts[0], counts[1], layout, rng)
            values.append([float(ESTIMANDS[name](sums, layout)) for name in SHOWN])
        table = np.array(values)
        for place, name in enumerate(SHOWN):
            mean, sd = np.nanmean(table[:, place]), np.nanstd(table[:, place], ddof=1)
            found[name].append(f"{mean:.3f} ({sd / np.sqrt(repetitions):.3f}, {sd:.2f})")
    for name, row in found.items():
        click.echo(f"{name:28s}" + "".join(f"{each:>24s}" for each in row))


@main.command()
@click.option("--repetitions", default=20, show_default=True, help="Studies per scenario and size.")
@click.option("--animals", multiple=True, type=int, default=(3, 6, 12), show_default=True)
@click.option(
    "--neurons", multiple=True, type=int, default=(60,), help="Per animal; several are taken in turn."
)
@click.option("--window-s", default=600.0, show_default=True, help="Length of a window, s.")
@click.option("--scenario", "names", multiple=True, type=click.Choice(list(SCENARIOS)))
@click.option("--design", type=click.Choice(["crossover", "between"]), default="crossover", show_default=True)
@click.option("--draws", default=10, show_default=True, help="Draws that break ties.")
@click.option("--seed", default=0, show_default=True)
def verdicts(
    repetitions: int,
    animals: tuple[int, ...],
    neurons: tuple[int, ...],
    window_s: float,
    names: tuple[str, ...],
    design: str,
    draws: int,
    seed: int,
) -> None:
    """Print the share of each verdict, whole pipeline with controls, and what the controls said."""
    click.echo(f"{design}, {neurons} neurons, windows of {window_s:g} s, {repetitions} studies each")
    for place, name in enumerate(names or SCENARIOS):
        for n_animals in animals:
            started = time.perf_counter()
            words: Counter[str] = Counter()
            controls: Counter[str] = Counter()
            reference: Counter[str] = Counter()
            rng = np.random.default_rng([seed, place, n_animals])
            for _ in range(repetitions):
                study = simulate_study(
                    SCENARIOS[name],
                    n_animals=n_animals,
                    n_neurons=neurons,
                    window_s=window_s,
                    lag_s=window_s * 1.2,
                    rng=rng,
                    design="between" if design == "between" else "crossover",
                )
                arms = analyse_arms(
                    study, reference="saline", margin=MARGIN, limits=None, draws=draws, seed=seed
                )
                words[arms["ketamine"].verdict.word.value] += 1
                reference[arms["saline"].verdict.word.value] += 1
                controls.update(f"{each.name} {each.outcome.value}" for each in arms["ketamine"].controls)
            ms = 1e3 * (time.perf_counter() - started) / repetitions
            click.echo(
                f"{name:32s} {n_animals:3d} animals  {_shares(words, repetitions)}"
                f" | saline: {_shares(reference, repetitions)}"
                f" | controls: {_shares(controls, repetitions)} | {ms:.0f} ms"
            )


def _shares(counter: Counter[str], total: int) -> str:
    return ", ".join(f"{word} {count / total:.3f}" for word, count in counter.most_common())


if __name__ == "__main__":
    main()
