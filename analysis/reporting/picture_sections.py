"""Pictures of neurons, and of every cell type."""

from __future__ import annotations

from nwbswitch.analysis.figures import switch_figures as figures
from nwbswitch.analysis.figures.svg_elements import short_name
from nwbswitch.analysis.reporting.blocks import Block, Picture, Pictures, Section, Table, Text, figure_name
from nwbswitch.analysis.reporting.printed_numbers import counted, interval, whole
from nwbswitch.analysis.runs.results_folder import Results

_TYPE_ESTIMANDS = ("G", "SW", "rho_star")


def cell_types(results: Results) -> list[str]:
    """Return all cell types with estimates, that of the verdict first."""
    own = results.result["cell_type"]
    return sorted(results.estimates["cell_type"].unique(), key=lambda name: (name != own, name))


def neurons_section(results: Results) -> Section:
    """Return the rates of every neuron before and after, by arm and cell type."""
    colours = figures.arm_colours(results.arms, results.reference)
    types = [name for name in cell_types(results) if (results.neurons["cell_type"] == name).any()]
    drawn: list[Picture] = []
    dense = False
    for cell_type in types:
        cells = results.neurons[results.neurons["cell_type"] == cell_type]
        for arm in results.arms:
            own = cells[cells["arm"] == ("" if arm == "none" else arm)]
            windows = figures.window_pair(own)
            if windows is None:
                continue
            n = len(own[["animal", "session", "plane", "neuron"]].drop_duplicates())
            dense |= n > figures.MAX_POINTS
            title = arm if len(types) == 1 else f"{arm}, {cell_type}"
            drawn.append(
                Picture(
                    figure_name("neurons", str(len(drawn))),
                    figures.neurons_figure(own, title, windows=windows, colour=colours[arm]),
                    f"Event rate of {whole(n)} {cell_type} neurons before and after, {arm}.",
                    cell_type=cell_type if len(types) > 1 else "",
                )
            )
    words = (
        "One point is one neuron in one recording session; axes are square-root scaled. On the diagonal "
        "nothing changed; along the axes, neurons were turned on (left) or silenced (below)."
    )
    if dense:
        words += (
            f" More than {whole(figures.MAX_POINTS)} neurons are a density: the darker, the more neurons, on "
            "a logarithmic scale. cells.parquet holds every one."
        )
    blocks: list[Block] = [Text(words)]
    blocks.append(Pictures(drawn) if drawn else Text("There are no two windows to compare."))
    return Section("neurons", "Every neuron, before and after", "", blocks)


def cell_types_section(results: Results) -> Section | None:
    """Return drive, switch contrast and state correlation by cell type; None when there is one type."""
    types = cell_types(results)
    if len(types) < 2:
        return None
    drawn: list[Picture] = []
    rows = []
    for cell_type in types:
        own = results.estimates[results.estimates["cell_type"] == cell_type]
        for estimand in _TYPE_ESTIMANDS:
            figure = figures.animals_figure(
                own, estimand, arms=results.arms, reference=results.reference, contrast=results.contrast
            )
            figure.axes[0].set_title(short_name(cell_type, 40), fontsize=10, loc="left", parse_math=False)
            drawn.append(
                Picture(
                    figure_name("type", str(len(drawn))),
                    figure,
                    f"{figures.LABELS[estimand]} of every animal, {cell_type} neurons.",
                    cell_type=cell_type,
                )
            )
        pooled = own[(own["level"] == "arm") & own["estimand"].isin(_TYPE_ESTIMANDS)]
        for arm in results.arms:
            of_arm = pooled[(pooled["arm"] == arm) & (pooled["contrast"] == results.contrast)]
            found = {row["estimand"]: row for row in of_arm.to_dict("records")}
            if found:
                most = max(row["n_neurons"] for row in found.values())
                values = [interval(found.get(name)) for name in _TYPE_ESTIMANDS]
                rows.append([cell_type, arm, *values, whole(most)])
    blocks: list[Block] = [
        Text(
            "Every type is analysed on its own. Only the verdict of the primary type, "
            f"{results.result['cell_type']}, is a claim; the others are exploratory."
        ),
        Pictures(drawn),
        Table(
            "Estimates by cell type (95 % CI).",
            ["Cell type", "Arm", *(figures.LABELS[name] for name in _TYPE_ESTIMANDS), "Neurons"],
            rows,
            n_words=2,
        ),
    ]
    return Section("types", "Cell types", counted(len(types), "type"), blocks)
