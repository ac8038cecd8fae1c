"""Diagnostics: tables against what was simulated, and a page of plots on which nothing overlaps."""

from itertools import combinations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from nwbswitch.analysis.mixed import diagnostic_plots
from nwbswitch.analysis.mixed.diagnostics import Diagnostics, effect_quantiles
from nwbswitch.analysis.mixed.fit import fit

FORMULA = "y ~ arm * window + (1 + window | animal) + (1 | neuron)"


def simulated(
    *, animals: int = 12, neurons: int = 6, seed: int = 2, name: str = "animal-{:02d}"
) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    index = pd.MultiIndex.from_product([range(animals), range(neurons), ["baseline", "drug"], range(2)])
    table = index.to_frame(index=False, name=["animal", "neuron", "window", "rep"])
    table["neuron"] = table["animal"] * neurons + table["neuron"]
    table["arm"] = np.where(table["animal"] % 2, "ketamine_10_mg_per_kg", "saline")
    late = (table["window"] == "drug").to_numpy(dtype=float)
    table["y"] = (
        rng.normal(size=animals)[table["animal"]] + rng.normal(0, 0.5, animals)[table["animal"]] * late
    )
    table["y"] += rng.normal(size=animals * neurons)[table["neuron"]] + rng.normal(size=len(table))
    table["animal"] = [name.format(each) for each in table["animal"]]
    return table


@pytest.fixture(scope="module")
def found() -> Diagnostics:
    return fit(simulated(), FORMULA).diagnostics()


def test_shape_tells_normal_from_skewed():
    table = simulated(neurons=30)
    rng = np.random.default_rng(0)
    skewed = table.assign(y=table["y"] + rng.exponential(2.0, len(table)))
    normal, other = (
        fit(each, FORMULA).diagnostics().table().set_index("what").loc["residual"] for each in (table, skewed)
    )
    assert abs(normal["skewness"]) < 0.2
    assert abs(normal["kurtosis"]) < 0.4
    assert other["skewness"] > 0.8
    assert normal["expected_far"] == pytest.approx(len(table) * 0.0027, rel=1e-3)


def test_the_animal_that_was_made_odd_stands_out():
    table = simulated()
    odd = table["animal"].eq("animal-03") & table["window"].eq("drug")
    diagnostics = fit(table.assign(y=table["y"] + 6.0 * odd), FORMULA).diagnostics()
    assert diagnostics.influence is not None
    drawn = diagnostics.influence.query("term == 'windowdrug'")
    assert drawn.loc[drawn["shift"].abs().idxmax(), "level"] == "animal-03"
    own = diagnostics.effects.query("group == 'animal' and term == 'windowdrug'")
    assert own.loc[own["z"].abs().idxmax(), "level"] == "animal-03"


def test_leverage_of_a_balanced_design_is_even_and_a_large_animal_is_named(found):
    assert found.leverage is not None
    assert found.leverage["leverage"].sum() == pytest.approx(4.0)
    assert np.ptp(found.leverage["ratio"]) < 1e-9
    assert not found.leverage["high"].any()
    table = simulated()
    lonely = table[(table["arm"] == "saline") | (table["animal"] == "animal-01")]
    leverage = fit(lonely, FORMULA).diagnostics().leverage
    assert leverage is not None
    assert leverage[leverage["high"]]["level"].tolist() == ["animal-01"]


def test_quantiles_are_those_of_the_normal_distribution():
    values = np.array([3.0, -1.0, 0.5, 2.0, -2.0])
    frame = pd.DataFrame({"group": "g", "level": list("abcde"), "term": "t", "estimate": values})
    shown = effect_quantiles(frame)
    assert shown["quantile"].to_numpy() == pytest.approx([1.1798, -0.4972, 0.0, 0.4972, -1.1798], abs=1e-4)
    assert shown["z"].to_numpy() == pytest.approx(values / values.std())
    assert effect_quantiles(frame, without=[("g", "t")])["z"].isna().all()


def test_effects_without_scatter_have_no_shape():
    rng = np.random.default_rng(9)
    table = simulated()
    diagnostics = fit(table.assign(y=rng.normal(size=len(table))), "y ~ arm + (1 | animal)").diagnostics()
    row = diagnostics.table().set_index("what").loc["animal: (Intercept)"]
    assert np.isnan(row["skewness"])
    assert len(diagnostics.figure().axes) == 4  # residuals twice, leverage, influence


def test_the_text_has_every_table(found):
    text = found.summary()
    for words in ("Shape of residuals", "Scaled residuals", "Leverage of each animal", "Without one animal"):
        assert words in text


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_page_is_the_same_every_time(found, tmp_path, suffix):
    pages = [found.plot(tmp_path / f"{name}{suffix}").read_bytes() for name in ("one", "two")]
    assert pages[0] == pages[1]
    assert pages[0][:4] in (b"\x89PNG", b"<?xm", b"%PDF")


def test_another_ending_is_refused(found, tmp_path):
    with pytest.raises(ValueError, match=r"\.png, \.svg, \.pdf"):
        found.plot(tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


def drawn_texts(figure) -> list[mpl.text.Text]:
    """Titles, labels, legends and the labels of ticks inside the axes; others are not drawn."""
    found = [figure._suptitle]
    for axes in figure.axes:
        found += [axes.title, axes.xaxis.label, axes.yaxis.label]
        found += axes.get_legend().get_texts() if axes.get_legend() else []
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            found += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [each for each in found if each.get_visible() and each.get_text().strip()]


def texts_that_overlap(figure) -> list[tuple[str, str]]:
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = [(each.get_text(), each.get_window_extent(renderer)) for each in drawn_texts(figure)]
    assert all(figure.bbox.contains(*corner) for _, box in boxes for corner in box.corners())
    found = []
    for (one, first), (other, second) in combinations(boxes, 2):
        shared = mpl.transforms.Bbox.intersection(first, second)
        if shared is not None and shared.width > 1.0 and shared.height > 1.0:
            found.append((one, other))
    return found


@pytest.mark.parametrize(
    "made",
    [
        {"animals": 8},
        {"animals": 25, "name": "a-rather-long-name-of-an-animal-{:03d}"},
        {"animals": 40, "neurons": 2},
    ],
    ids=["few", "long names", "many"],
)
def test_nothing_overlaps(made):
    figure = fit(simulated(**made), FORMULA).diagnostics().figure()
    assert len(figure.axes) == 6
    assert texts_that_overlap(figure) == []


def test_profiles_are_one_more_panel():
    figure = fit(simulated(animals=8, neurons=2), "y ~ 1 + (1 | animal)").diagnostics().figure(profile=True)
    assert len(figure.axes) == 7
    assert figure.axes[-1].get_title() == "Profiles of SDs"
    assert {each.get_label() for each in figure.axes[-1].get_lines()} >= {"sigma", "sd_(Intercept)|animal"}
    assert texts_that_overlap(figure) == []


def test_many_rows_become_hexagons_and_say_how_many_points_are_drawn(monkeypatch, found):
    monkeypatch.setattr(diagnostic_plots, "MANY_POINTS", 200)
    axes = found.figure().axes
    assert any(" of 288 rows)" in each.get_title() for each in axes)
    assert any(each.get_ylabel() == "rows" for each in axes)
