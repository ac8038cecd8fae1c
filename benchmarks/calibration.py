"""Compare what estimands and verdicts make of simulated counts with what is stated of them.

python benchmarks/calibration.py estimands      the pinned calibration values cell by cell; exit 1 if off
python benchmarks/calibration.py acceptance     what the verdict must keep to; exit 1 if it does not
python benchmarks/calibration.py assumptions    what breaking each assumption does
python benchmarks/calibration.py naive          naive fractions of the worlds, as the package keeps them
python benchmarks/calibration.py verdicts --scenario switch --animals 6 --repetitions 1000
python benchmarks/calibration.py worlds --neurons 60 --window-s 600

All tables are Markdown, with Monte-Carlo standard errors in brackets. Raw traces: calibration_traces.py.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import click
import numpy as np

from nwbswitch.analysis.simulation.acceptance import LAYOUTS, REQUIREMENTS, Requirement, judged
from nwbswitch.analysis.simulation.agreement import mean_and_se
from nwbswitch.analysis.simulation.assumptions import ESTIMATED, Effect, assumption_effects
from nwbswitch.analysis.simulation.calibration import agreements, simulated_values
from nwbswitch.analysis.simulation.count_studies import SCENARIOS, simulate_counts
from nwbswitch.analysis.simulation.naive_worlds import simulate_naive_worlds
from nwbswitch.analysis.simulation.pinned_values import read_pinned
from nwbswitch.analysis.simulation.repetitions import CALIBRATED, repeated_values
from nwbswitch.analysis.simulation.scenarios import BROKEN
from nwbswitch.analysis.simulation.study_outcomes import (
    StudyPlan,
    failed_shares,
    share_se,
    simulate_outcomes,
    word_shares,
)
from nwbswitch.analysis.verdicts.verdict import MIN_ANIMALS
from nwbswitch.schemas.worlds import World

FEW = 50
"""Studies of fewer animals than a verdict needs; the rule gives no word to any of them."""
PINNED = Path(__file__).resolve().parents[1] / "tests" / "reference" / "calibration.json"


@click.group()
def main() -> None:
    """Calibrate the estimands and the verdict on simulated counts."""


@main.command()
@click.option("--repetitions", default=100, show_default=True, help="Sessions of 2,000 neurons per world.")
@click.option("--small-repetitions", default=1_000, show_default=True, help="Smaller ones, for their spread.")
@click.option("--draws", default=20, show_default=True, help="Draws that break ties.")
@click.option("--seed", default=0, show_default=True)
@click.pass_context
def estimands(
    context: click.Context, repetitions: int, small_repetitions: int, draws: int, seed: int
) -> None:
    """Compare every pinned value with a new simulation; exit 1 if one is off by more than 3 MC SE."""
    started, n_cells, n_off = time.perf_counter(), 0, 0
    _row("simulated", "estimand", "ours (MC SE)", "pinned (MC SE)", "distance, SE", "")
    _row(*["---"] * 6)
    for place, group in enumerate(read_pinned(PINNED).groups):
        found = simulated_values(
            group,
            repetitions=repetitions if group.means else small_repetitions,
            rng=np.random.default_rng([seed, place]),
            draws=draws,
        )
        for cell in agreements(group, found):
            n_cells += 1
            n_off += not cell.agrees
            pinned = f"{cell.low:g}" if cell.low == cell.high else f"{cell.low:g} to {cell.high:g}"
            _row(
                group.title,
                cell.name,
                f"{cell.ours:.3f} ({cell.se:.3f})",
                f"{pinned} +- {cell.half_unit:g} ({cell.pinned_se:.3f})",
                f"{cell.distance:.1f}",
                "" if cell.agrees else "DIFFERS",
            )
    click.echo(
        f"\n{n_cells - n_off} of {n_cells} cells within 3 standard errors of the difference, beyond half a "
        f"unit of the pinned number's last digit; {time.perf_counter() - started:.0f} s."
    )
    if n_off:
        context.exit(1)


@main.command()
@click.option("--neurons", default=2_000, show_default=True)
@click.option("--window-s", default=120.0, show_default=True, help="Length of a window, s.")
@click.option("--repetitions", default=40, show_default=True)
@click.option("--draws", default=20, show_default=True, help="Draws that break ties.")
@click.option("--seed", default=0, show_default=True)
def worlds(neurons: int, window_s: float, repetitions: int, draws: int, seed: int) -> None:
    """Print the mean of each estimand in each world for any number of neurons and length of window."""
    rng = np.random.default_rng(seed)
    columns = {
        world: repeated_values(
            lambda rng, world=world: simulate_counts(world, n_neurons=neurons, window_s=window_s, rng=rng),
            repetitions=repetitions,
            rng=rng,
            draws=draws,
        )
        for world in World
    }
    _row(f"{neurons} x {window_s / 60:g} min", *(world.value for world in World))
    _row(*["---"] * (1 + len(World)))
    for name in CALIBRATED:
        cells = (mean_and_se(columns[world][name]) for world in World)
        _row(name, *(f"{mean:.3f} ({se:.3f})" for mean, se in cells))


@main.command()
@click.option("--repetitions", default=400, show_default=True, help="Studies per scenario and size.")
@click.option("--layout", "layouts", multiple=True, type=click.Choice([each.name for each in LAYOUTS]))
@click.option("--animals", multiple=True, type=int, help="Only studies of these sizes.")
@click.option("--scenario", "names", multiple=True, type=click.Choice(list(SCENARIOS)), help="Only these.")
@click.option("--seed", default=0, show_default=True)
@click.option("--workers", default=1, show_default=True)
@click.pass_context
def acceptance(
    context: click.Context,
    repetitions: int,
    layouts: Sequence[str],
    animals: Sequence[int],
    names: Sequence[str],
    seed: int,
    workers: int,
) -> None:
    """Check false switches, false reshuffles and power; exit 1 if one is beyond its limit.

    Crossovers unless other layouts are asked for.
    """
    started, n_off, n_checked = time.perf_counter(), 0, 0
    wanted = layouts or (LAYOUTS[0].name,)
    for layout in [each for each in LAYOUTS if each.name in wanted]:
        click.echo(f"\n{layout.name}: 60 neurons per animal, windows of 10 min, {repetitions} studies each\n")
        _row("scenario", "animals", "word", "share (MC SE)", "limit", "met", "all words", "failed controls")
        _row(*["---"] * 8)
        for (name, n_animals), asked in _by_study(animals, names).items():
            few = n_animals < MIN_ANIMALS
            outcomes = simulate_outcomes(
                layout.plan(name, n_animals),
                repetitions=min(repetitions, FEW) if few else repetitions,
                seed=seed,
                workers=workers,
            )
            for requirement in asked:
                found = judged(requirement, outcomes)
                n_checked += 1
                n_off += not found.held
                _row(
                    name,
                    str(n_animals),
                    requirement.word.value,
                    f"{found.share:.3f} ({found.se:.3f})",
                    f"{requirement.bound} {requirement.limit:g}",
                    "yes" if found.held else "NO",
                    _words(word_shares(outcomes)),
                    _words(failed_shares(outcomes)) or "none",
                )
    click.echo(
        f"\n{n_checked - n_off} of {n_checked} requirements met; {time.perf_counter() - started:.0f} s."
    )
    if n_off:
        context.exit(1)


def _by_study(animals: Sequence[int], names: Sequence[str]) -> dict[tuple[str, int], list[Requirement]]:
    grouped: dict[tuple[str, int], list[Requirement]] = {}
    for requirement in REQUIREMENTS:
        wanted_size = not animals or requirement.n_animals in animals
        if wanted_size and (not names or requirement.scenario in names):
            grouped.setdefault((requirement.scenario, requirement.n_animals), []).append(requirement)
    return grouped


@main.command()
@click.option("--repetitions", default=200, show_default=True, help="Studies per assumption and world.")
@click.option("--assumption", "names", multiple=True, type=click.Choice(list(BROKEN)))
@click.option("--animals", default=6, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("--workers", default=1, show_default=True)
def assumptions(repetitions: int, names: Sequence[str], animals: int, seed: int, workers: int) -> None:
    """Print the bias of each estimand, the verdicts and the failed controls with an assumption broken."""
    started = time.perf_counter()
    click.echo(
        f"Crossovers, {animals} animals, 60 neurons each, windows of 10 min, {repetitions} studies per row: "
        "difference from the same world with the assumption kept (MC SE)\n"
    )
    _row("assumption broken", "world", *ESTIMATED, "verdicts (with it kept)", "failed controls")
    _row(*["---"] * (4 + len(ESTIMATED)))
    effects = assumption_effects(
        names or tuple(BROKEN), repetitions=repetitions, n_animals=animals, seed=seed, workers=workers
    )
    for effect in effects:
        failed = _words(effect.failed) or "none"
        _row(effect.assumption, effect.world.value, *_biases(effect), _verdicts(effect), failed)
    click.echo(f"\n{time.perf_counter() - started:.0f} s.")


def _biases(effect: Effect) -> list[str]:
    lost = {name: f", {share:.0%} not estimable" for name, share in effect.lost.items()}
    return [f"{bias:+.2f} ({se:.2f}){lost.get(name, '')}" for name, (bias, se) in effect.biases.items()]


def _verdicts(effect: Effect) -> str:
    return f"{_words(effect.words)} ({_words(effect.intact_words)})"


@main.command()
@click.option("--repetitions", default=40, show_default=True, help="Sessions of 2,000 neurons per row.")
@click.option("--seed", default=0, show_default=True)
def naive(repetitions: int, seed: int) -> None:
    """Print the naive fractions of the worlds as the rows of analysis/simulation/naive_worlds.py."""
    for row in simulate_naive_worlds(repetitions=repetitions, seed=seed):
        click.echo(
            f'    NaiveWorld("{row.world}", {row.window_s:.0f}, {row.down_pct:.1f}, {row.up_pct:.1f}, '
            f"{row.p_active_after_silent:.3f}, {row.correlation:.3f}),"
        )


@main.command()
@click.option("--repetitions", default=100, show_default=True, help="Studies per scenario and size.")
@click.option("--animals", multiple=True, type=int, default=(6, 12), show_default=True)
@click.option(
    "--neurons", multiple=True, type=int, default=(60,), help="Per animal; several are taken in turn."
)
@click.option("--window-s", default=600.0, show_default=True, help="Length of a window, s.")
@click.option("--scenario", "names", multiple=True, type=click.Choice(list(SCENARIOS)))
@click.option("--design", type=click.Choice(["crossover", "between"]), default="crossover", show_default=True)
@click.option("--shared", default=1.0, show_default=True, help="Share of neurons found in both sessions.")
@click.option("--draws", default=10, show_default=True, help="Draws that break ties.")
@click.option("--seed", default=0, show_default=True)
@click.option("--workers", default=1, show_default=True)
def verdicts(
    repetitions: int,
    animals: Sequence[int],
    neurons: tuple[int, ...],
    window_s: float,
    names: Sequence[str],
    design: str,
    shared: float,
    draws: int,
    seed: int,
    workers: int,
) -> None:
    """Print the share of each verdict of any scenario, and how often each control failed."""
    _row("scenario", "animals", "verdicts (MC SE)", "verdicts of saline", "failed controls", "ms per study")
    _row(*["---"] * 6)
    for name in names or SCENARIOS:
        for n_animals in animals:
            plan = StudyPlan(
                SCENARIOS[name],
                n_animals,
                n_neurons=neurons,
                window_s=window_s,
                lag_s=1.2 * window_s,
                design="between" if design == "between" else "crossover",
                shared_share=shared,
                draws=draws,
            )
            started = time.perf_counter()
            outcomes = simulate_outcomes(plan, repetitions=repetitions, seed=seed, workers=workers)
            ms = 1e3 * (time.perf_counter() - started) / repetitions
            shown = ", ".join(
                f"{word} {share:.3f} ({share_se(share, repetitions):.3f})"
                for word, share in word_shares(outcomes).items()
            )
            reference = Counter(each.reference_word for each in outcomes)
            of_saline = {word: n / repetitions for word, n in reference.most_common()}
            failed = _words(failed_shares(outcomes)) or "none"
            _row(name, str(n_animals), shown, _words(of_saline), failed, f"{ms:.0f}")


def _words(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{word} {share:.2f}" for word, share in shares.items())


def _row(*cells: str) -> None:
    click.echo(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
