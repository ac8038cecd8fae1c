"""Figures of time courses and exploratory estimands show what their tables hold."""

import io

import numpy as np
import pandas as pd
import pytest
from counted_windows import drawn, session

from nwbswitch.analysis.estimands.oldham import oldham_points
from nwbswitch.analysis.estimands.time_courses import time_courses
from nwbswitch.analysis.figures.course_figures import time_course_figure
from nwbswitch.analysis.figures.exploratory_figures import OLDHAM_NOTE, naive_figure, oldham_figure
from nwbswitch.analysis.figures.svg_elements import svg
from nwbswitch.analysis.figures.switch_figures import REFERENCE_COLOUR

CHANGE = np.interp(np.arange(60) * 30.0, [0, 300, 600, 900, 1500], [0, 0, 1, 1, 0])


def _sessions(n_animals):
    rng = np.random.default_rng(0)
    found = []
    for place in range(n_animals):
        rates = rng.gamma(1.0, 3.0, (30, 1))
        other = rng.permutation(rates)
        for arm, share in (("$ketamine_1$", CHANGE), ("saline", 0 * CHANGE)):
            windows = {
                "baseline": drawn(rates * np.ones(20), rng),
                "drug": drawn(rates * (1 - share) + other * share, rng, start_s=600.0),
            }
            found.append(session(windows, animal=f"m{place}", arm=arm, name=arm))
    return found


@pytest.fixture(scope="module")
def tables():
    return time_courses(_sessions(7), reference="saline")


def _drawn(figure):
    """Render at the width of a telephone, and return the axes."""
    assert figure.get_figwidth() * 80 <= 392
    figure.savefig(io.BytesIO(), format="png", dpi=80)
    return figure.axes[0]


def test_animals_are_thin_arms_thick_and_the_reference_is_grey(tables):
    courses, _ = tables
    axes = _drawn(time_course_figure(courses, "rho_star", reference="saline"))
    thick = {line.get_label(): line for line in axes.get_lines() if line.get_linewidth() > 2}
    assert set(thick) == {"$ketamine_1$", "saline"}
    assert thick["saline"].get_color() == REFERENCE_COLOUR
    thin = [line for line in axes.get_lines() if line.get_linewidth() < 0.7]
    assert len(thin) == 14
    rows = courses[(courses["level"] == "arm") & (courses["contrast"] == "drug")]
    own = rows[(rows["estimand"] == "rho_star") & (rows["arm"] == "saline")]
    np.testing.assert_allclose(thick["saline"].get_ydata(), own["estimate"])
    np.testing.assert_allclose(thick["saline"].get_xdata(), own["time_s"] / 60)
    low, high = (own[name] for name in ("band_low", "band_high"))
    shade = axes.collections[1].get_paths()[0].vertices[:, 1]
    assert (shade.min(), shade.max()) == pytest.approx((low.min(), high.max()))


def test_a_course_of_one_window_is_seen(tables):
    """A line through one point shows nothing: points without a neighbour have a mark and an interval."""
    courses, _ = tables
    one = courses[courses["time_s"] == courses["time_s"].min()]
    blank = one.assign(estimate=np.nan, ci_low=np.nan, ci_high=np.nan, band_low=np.nan, band_high=np.nan)

    def inked(table):
        axes = _drawn(time_course_figure(table, "SW", reference="saline"))
        for text in (*axes.texts, axes.get_legend()):
            text.set_visible(False)
        buffer = io.BytesIO()
        axes.set(xlim=(0, 10), ylim=(-5, 9))
        axes.figure.savefig(buffer, format="rgba", dpi=80)
        return int(
            (np.frombuffer(buffer.getvalue(), dtype=np.uint8).reshape(-1, 4)[:, :3].min(axis=1) < 200).sum()
        )

    assert inked(one) > inked(blank) + 100
    whole = _drawn(time_course_figure(courses, "SW", reference="saline"))
    assert all(line.get_markevery() in ([], None) for line in whole.get_lines())


def test_a_difference_with_its_features(tables):
    courses, features = tables
    figure = time_course_figure(courses, "rho_star", contrast="vs_saline", features=features)
    axes = _drawn(figure)
    assert "minus saline" in axes.get_ylabel()
    marks = [line for line in axes.get_lines() if line.get_marker() in ("D", "|")]
    chosen = (features["estimand"] == "rho_star") & (features["contrast"] == "vs_saline")
    times = features[chosen & features["feature"].str.endswith("_s")].set_index("feature")["estimate"]
    assert sorted(float(line.get_xdata()[0]) * 60 for line in marks) == pytest.approx(sorted(times.dropna()))
    assert len(marks) == 3
    page = svg(figure, description="rho* over time")
    assert page.count('data-animal="m3"') == 1


def test_without_a_band_the_interval_is_drawn_and_without_numbers_that_is_said():
    courses, features = time_courses(_sessions(3), reference="saline")
    axes = _drawn(time_course_figure(courses, "G", reference="saline", features=features))
    assert len(axes.collections) == 2
    nothing = courses.assign(estimate=np.nan, ci_low=np.nan, ci_high=np.nan)
    axes = _drawn(time_course_figure(nothing, "G", reference="saline", features=features))
    assert "not estimable" in [text.get_text() for text in axes.texts]
    _drawn(time_course_figure(courses.iloc[:0], "SW"))


def test_oldham_is_labelled_as_a_picture():
    points = oldham_points(_sessions(2))
    axes = _drawn(oldham_figure(points, title="$ketamine_1$"))
    assert OLDHAM_NOTE in [text.get_text() for text in axes.texts]
    np.testing.assert_allclose(axes.collections[0].get_offsets(), points[["mean", "change"]])
    _drawn(oldham_figure(points.iloc[:0]))


def test_naive_fractions_stand_beside_what_nothing_gives():
    rows = [
        {"arm": arm, "estimand": f"naive_down_{kind}", "estimate": value, "ci_low": value - 0.1}
        for arm, base in (("ketamine", 0.4), ("saline", 0.3))
        for kind, value in (("halves", base), ("within_baseline", 0.3))
    ]
    table = pd.DataFrame(rows).assign(level="arm", contrast="drug")
    table["ci_high"] = table["estimate"] + 0.1
    axes = _drawn(naive_figure(table, arms=["saline", "ketamine", "absent"], reference="saline"))
    marks = [line.get_ydata() for line in axes.get_lines() if line.get_marker() in ("D", "o")]
    assert [float(each[0]) for each in marks if len(each)] == pytest.approx([0.3, 0.3, 0.4, 0.3])
