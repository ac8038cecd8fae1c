"""Figures of a meta-analysis show what was computed, and hostile names stay text."""

import io
import json
from pathlib import Path
from xml.dom.minidom import parseString

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.figures.meta_figures import (
    baujat_figure,
    bubble_figure,
    forest_figure,
    funnel_figure,
    refits_figure,
)
from nwbswitch.analysis.meta_analysis.cumulative import cumulative
from nwbswitch.analysis.meta_analysis.forest import forest_data
from nwbswitch.analysis.meta_analysis.funnel import funnel_data
from nwbswitch.analysis.meta_analysis.influence import baujat
from nwbswitch.analysis.meta_analysis.leave_one_out import leave_one_out
from nwbswitch.analysis.meta_analysis.meta import meta
from nwbswitch.analysis.meta_analysis.trim_and_fill import trim_and_fill
from nwbswitch.schemas.errors import FitError, FormulaError

TOOLS = json.loads((Path(__file__).resolve().parents[1] / "reference" / "meta_tools.json").read_text())
BCG = pd.DataFrame({name: TOOLS["bcg"][name] for name in ("yi", "vi", "ablat", "year", "author")})
BCG["era"] = ["late" if year > 1965 else "early" for year in BCG["year"]]


def _fit(table=BCG, **more):
    return meta(table, effect="yi", variance="vi", **({"slab": "author"} | more))


def _drawn(figure):
    """Render at the width of a telephone, and return the axes."""
    assert figure.get_figwidth() * 80 <= 392
    figure.savefig(io.BytesIO(), format="png", dpi=80)
    return figure.axes[0]


def _names(axes):
    return [each.get_text() for each in axes.get_yticklabels()]


def test_forest_shows_studies_and_the_pooled_diamond():
    fit = _fit()
    figure = forest_figure(forest_data(fit), xlabel="Log risk ratio")
    axes = _drawn(figure)
    assert _names(axes) == [*BCG["author"], "pooled"]
    assert axes.get_xlabel() == "Log risk ratio"
    diamond = axes.patches[0].get_xy()
    one = fit.coefficients[0]
    assert sorted({round(float(x), 9) for x in diamond[:, 0]}) == pytest.approx(
        [one.ci_low, one.estimate, one.ci_high]
    )
    lines = {tuple(np.round(line.get_xdata(), 9)) for line in axes.lines}
    assert tuple(np.round(fit.prediction, 9)) in lines
    numbers = figure.axes[0].child_axes[0].get_yticklabels()
    assert numbers[-1].get_text() == "−0.71 [−1.11, −0.32]"


def test_forest_by_subgroup_pools_each_and_all():
    table = BCG.assign(era=[*BCG["era"][:-1], "last"])
    data = forest_data(_fit(table), subgroups="era")
    assert data.pooled["group"].tolist() == ["early", "late", "last", ""]
    assert data.pooled["status"].tolist()[2].startswith("fewer than 3")
    early = _fit(table[table["era"] == "early"])
    assert data.pooled["estimate"][0] == pytest.approx(early.coefficients[0].estimate, rel=1e-12)
    assert data.pooled["pi_low"][0] == pytest.approx(early.prediction[0], rel=1e-12)
    axes = _drawn(forest_figure(data))
    names = _names(axes)
    assert names[0] == "early"
    assert names[-1] == "all studies"
    assert names.count("pooled") == 3
    assert len(axes.patches) == 3
    json.dumps(data.as_dict(), allow_nan=False)


def test_forest_of_too_few_studies_lists_them():
    data = forest_data(_fit(BCG.iloc[:2]))
    assert data.pooled["status"][0] != "ok"
    axes = _drawn(forest_figure(data))
    assert len(axes.patches) == 0
    assert len(axes.collections) == 2


def test_names_of_others_stay_text_and_short():
    table = BCG.assign(author=["$x^2$", "<b>\x00\x1b[31m</b>", "n" * 500, "a\nb\u202e", *BCG["author"][4:]])
    figure = forest_figure(forest_data(_fit(table)))
    names = _names(_drawn(figure))
    written = io.BytesIO()
    figure.savefig(written, format="svg")
    parseString(written.getvalue())
    assert b"<b>" not in written.getvalue()
    assert names[0] == "$x^2$"
    assert max(map(len, names)) <= 26
    assert "\n" not in "".join(names)


def test_a_hundred_studies_are_drawn():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"yi": rng.normal(size=150), "vi": rng.uniform(0.1, 1, 150)})
    axes = _drawn(forest_figure(forest_data(meta(table, effect="yi", variance="vi"))))
    assert len(_names(axes)) == 151


def test_funnel_has_contours_and_imputed_studies():
    smoke = meta(pd.DataFrame(TOOLS["smoke"]), effect="yi", variance="vi")
    figure = funnel_figure(funnel_data(smoke, filled=trim_and_fill(smoke)))
    axes = _drawn(figure)
    assert axes.get_ylim()[0] > axes.get_ylim()[1] == 0.0
    labels = {each.get_text() for each in figure.legends[0].get_texts()}
    assert labels == {"P < .10", "P < .05", "P < .01", "studies", "imputed"}
    sizes = [len(each.get_offsets()) for each in axes.collections if len(each.get_offsets()) > 1]
    assert sizes == [37, 7]


def test_refits_show_every_row_beside_the_whole():
    fit = _fit()
    for refits in (leave_one_out(fit), cumulative(fit, by="year")):
        axes = _drawn(refits_figure(refits))
        assert len(_names(axes)) == 13
        points = [line for line in axes.lines if line.get_marker() == "o"]
        drawn = [float(line.get_xdata()[0]) for line in points]
        assert drawn == pytest.approx(refits.rows["estimate"].tolist())
    regression = _fit(moderators="ablat")
    axes = _drawn(refits_figure(leave_one_out(regression), term="ablat"))
    assert len(_names(axes)) == 13
    with pytest.raises(ValueError, match="expected one of"):
        refits_figure(leave_one_out(regression))


def test_baujat_names_the_farthest():
    table = baujat(_fit())
    axes = _drawn(baujat_figure(table, named=3))
    assert np.allclose(axes.collections[0].get_offsets(), table[["heterogeneity", "influence"]])
    named = {each.get_text() for each in axes.texts}
    assert "Hart & Sutherland" in named
    assert len(named) <= 3


def test_bubbles_show_the_regression_line():
    fit = _fit(moderators="ablat + year")
    axes = _drawn(bubble_figure(fit, "ablat", xlabel="Latitude"))
    (line,) = [each for each in axes.lines if len(each.get_xdata()) == 60]
    slope = np.polyfit(line.get_xdata(), line.get_ydata(), 1)[0]
    assert slope == pytest.approx(fit.coefficients[1].estimate)
    for term in ("(Intercept)", "nothing"):
        with pytest.raises(ValueError, match="ablat, year"):
            bubble_figure(fit, term)
    with pytest.raises(ValueError, match="no moderators"):
        bubble_figure(_fit(), "ablat")


def test_forest_rows_that_cannot_be_are_said():
    with pytest.raises(FitError, match="without moderators"):
        forest_data(_fit(moderators="ablat"))
    with pytest.raises(FormulaError, match="no column 'lab'"):
        forest_data(_fit(), subgroups="lab")
