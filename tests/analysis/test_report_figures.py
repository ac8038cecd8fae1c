"""Figures of the report: colours that everybody can tell apart, elements that are safe, files for a paper."""

from __future__ import annotations

import itertools
import json
import re
from xml.etree.ElementTree import fromstring

import numpy as np
import pandas as pd
import pytest
from report_material import HOSTILE, add_replication, add_tables, results_folder

from nwbswitch.analysis.figures import switch_figures as figures
from nwbswitch.analysis.figures.flow_figures import ArmFlow, flow_figure
from nwbswitch.analysis.figures.forest_figures import MAX_NAMED, forest_figure
from nwbswitch.analysis.figures.specification_figures import (
    specification_counts,
    specification_figure,
    varied,
)
from nwbswitch.analysis.figures.svg_elements import animal_gid, plain_text, short_name, svg, write_figure
from nwbswitch.analysis.reporting.page import page
from nwbswitch.analysis.runs.results_folder import read_results

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
_VISION = {
    "usual": np.eye(3),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
}
_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])


def _linear(colour: str) -> np.ndarray:
    parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)


def _lab(linear: np.ndarray) -> np.ndarray:
    scaled = _TO_XYZ @ np.clip(linear, 0, 1) / _WHITE
    f = np.where(scaled > (6 / 29) ** 3, np.cbrt(scaled), scaled / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def _contrast(one: str, other: str = "#ffffff") -> float:
    bright = sorted(float(_linear(each) @ [0.2126, 0.7152, 0.0722]) + 0.05 for each in (one, other))
    return bright[1] / bright[0]


@pytest.mark.parametrize("vision", _VISION)
def test_colours_of_arms_are_told_apart_by_everybody(vision) -> None:
    """A CIE 1976 difference of 2.3 is just seen; 15 is another colour."""
    colours = (figures.REFERENCE_COLOUR, *figures.ARM_COLOURS)
    seen = {colour: _lab(_VISION[vision] @ _linear(colour)) for colour in colours}
    for one, other in itertools.combinations(colours, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 15, (one, other)


def test_the_measure_of_colours_tells_like_ones() -> None:
    red, green = (_lab(_VISION["protanopia"] @ _linear(colour)) for colour in ("#a03020", "#604020"))
    assert np.linalg.norm(red - green) < 15


def test_arms_are_told_apart_without_colour() -> None:
    assert len(set(figures.MARKERS)) == len(figures.ARM_COLOURS)


def test_words_in_figures_have_contrast() -> None:
    for colour in (figures.INK, figures.REFERENCE_COLOUR):
        assert _contrast(colour) >= 4.5
        assert _contrast(colour, figures.BAND) >= 4.5


def _plain_figure(name: str = "m01"):
    figure, axes = figures.panel(3, 3)
    axes.plot([0, 1], [0, 1], "o-", gid=animal_gid(name))
    with plain_text():
        axes.set_title(short_name(name, 200))
    return figure


def test_an_element_of_a_page_has_words_and_asks_for_nothing() -> None:
    element = svg(_plain_figure(), description="What is seen", name="one")
    root = fromstring(element)
    assert root.tag == "svg"
    assert root.get("role") == "img"
    assert root.get("aria-label") == "What is seen"
    assert "style" not in element
    assert "xmlns" not in element
    assert [each.get("data-animal") for each in root.iter() if each.get("data-animal")] == ["m01"]
    assert "".join(root.itertext()).count("m01") == 1
    names = [each.get("id") for each in root.iter() if each.get("id")]
    assert names
    assert all(name.startswith("one-") for name in names)
    used = {each.get("href", "#")[1:] for each in root.iter("use")} | set(
        re.findall(r"url\(#([^)]+)", element)
    )
    assert used == set(names)


def test_names_do_not_break_out_of_an_element() -> None:
    element = svg(_plain_figure(HOSTILE), description=HOSTILE)
    root = fromstring(element)
    assert {each.tag for each in root.iter()} <= {
        "svg",
        "defs",
        "g",
        "path",
        "use",
        "text",
        "clipPath",
        "rect",
    }
    assert root.get("aria-label") == HOSTILE
    assert HOSTILE in "".join(root.itertext())
    assert any(each.get("data-animal") == HOSTILE for each in root.iter())


@pytest.mark.parametrize("name", ["a\x00b", "a\x1b[31mb", "\u202egnp", "\ud800", "汉字", "_hidden", "$x$"])
def test_any_name_can_be_drawn(name) -> None:
    assert fromstring(svg(_plain_figure(name), description=name)).tag == "svg"


def test_names_are_cut_in_the_middle() -> None:
    assert short_name("ketamine") == "ketamine"
    cut = short_name("a" * 40 + "b" * 40, 20)
    assert len(cut) == 20
    assert cut.startswith("aaa")
    assert cut.endswith("bbb")
    assert short_name("two\nlines") == "two\\u000alines"


def test_files_for_a_paper_hold_text_as_text_and_are_the_same_again(tmp_path) -> None:
    drawn, printed = write_figure(_plain_figure(), tmp_path, "figure")
    assert ">m01<" in drawn.read_text(encoding="utf-8")
    assert b"/TrueType" in printed.read_bytes() or b"/Type0" in printed.read_bytes()
    before = drawn.read_bytes(), printed.read_bytes()
    write_figure(_plain_figure(), tmp_path, "figure")
    assert (drawn.read_bytes(), printed.read_bytes()) == before


def _texts(figure) -> list[str]:
    from matplotlib.text import Text

    figure.canvas.draw()
    return [text.get_text() for text in figure.findobj(Text) if text.get_text() and text.get_visible()]


def test_every_session_that_was_found_is_in_the_flow() -> None:
    arms = [ArmFlow("saline", 5, 5, 1200), ArmFlow("ketamine", 4, 4, 990)]
    colours = figures.arm_colours(["saline", "ketamine"], "saline")
    figure = flow_figure(
        12,
        {"no drug log": 2, "motion": 1},
        arms,
        cell_type="excitatory",
        n_animals=5,
        n_analysed=9,
        colours=colours,
    )
    words = _texts(figure)
    for line in (
        "12 recording sessions found",
        "3 sessions left out:",
        "2  no drug log",
        "1  motion",
        "9 sessions of 5 animals analysed",
        "1\u202f200 excitatory neurons",
        "4 animals",
    ):
        assert line in words


def test_many_reasons_and_arms_still_fit() -> None:
    reasons = {f"reason {place} " + "and more " * 30: 1 for place in range(20)}
    arms = [ArmFlow(HOSTILE + str(place), 1, 1, 1) for place in range(7)]
    colours = {arm.arm: figures.INK for arm in arms}
    figure = flow_figure(27, reasons, arms, cell_type="unknown", n_animals=7, n_analysed=7, colours=colours)
    words = _texts(figure)
    assert "12  for 12 other reasons" in words
    axes = figure.axes[0]
    for text in axes.texts:
        if text.get_text():
            x, y = text.get_position()
            assert axes.get_xlim()[0] <= x <= axes.get_xlim()[1]
            assert axes.get_ylim()[0] <= y <= axes.get_ylim()[1]


def test_a_forest_keeps_the_row_of_a_unit_without_an_estimate() -> None:
    figure = forest_figure(
        ["a", "b"],
        np.array([1.0, np.nan]),
        np.array([0.5, np.nan]),
        np.array([1.5, np.nan]),
        pooled=(1.0, 0.6, 1.4),
        xlabel="M",
    )
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b", "pooled"]
    many = np.zeros(MAX_NAMED + 1)
    figure = forest_figure([str(each) for each in many], many, many - 1, many + 1, pooled=None, xlabel="M")
    assert not figure.axes[0].get_yticklabels()
    assert figure.get_size_inches()[1] < 14


@pytest.fixture(scope="module")
def specifications(tmp_path_factory) -> pd.DataFrame:
    folder = add_tables(results_folder(tmp_path_factory.mktemp("specifications"), neurons=12))
    found = read_results(folder).specifications
    assert found is not None
    return found


def test_specifications_are_in_the_order_of_their_estimates_and_the_plan_is_marked(specifications) -> None:
    figure = specification_figure(specifications, "M", arm="ketamine", contrast="vs_saline", margin=0.25)
    top, matrix = figure.axes
    own = specifications[specifications["estimand"] == "M"]
    dots = next(line for line in top.lines if len(line.get_xdata()) == len(own))
    drawn = np.asarray(dots.get_ydata(), dtype=float)
    known = drawn[np.isfinite(drawn)]
    assert np.all(np.diff(known) >= 0)
    assert len(known) == 23
    plan = own.loc[own["specification"] == 0, "estimate"].item()
    marks = [line for line in top.lines if line.get_marker() == "D"]
    assert [float(line.get_ydata()[0]) for line in marks] == [pytest.approx(plan)]
    rows = [label.get_text() for label in matrix.get_yticklabels()]
    assert rows == ["2.5", "3", "3.5", "4", "0.0", "0.3", "0.7", "5", "10", "switch", "undecided"]


def test_every_specification_has_one_mark_for_each_choice(specifications) -> None:
    figure = specification_figure(specifications, "SW", arm="ketamine", contrast="vs_saline")
    matrix = figure.axes[1]
    dots = [line for line in matrix.lines if line.get_marker() == "s" and line.get_markersize() < 4]
    places = np.concatenate([np.asarray(line.get_xdata()) for line in dots])
    assert sorted(places.tolist()) == sorted([*range(24)] * 4)


def test_what_specifications_say_is_counted(specifications) -> None:
    own = specifications[specifications["estimand"] == "M"]
    found = specification_counts(own)
    assert found["n"] == 24
    assert found["n_without"] == 1
    assert found["verdicts"] == {"switch": 23, "undecided": 1}
    assert found["low"] == pytest.approx(own["estimate"].min())
    assert varied(own) == ["Threshold (SD)", "Neuropil", "Window (min)"]
    with pytest.raises(ValueError, match="no specification"):
        specification_figure(own, "M", arm="mk801", contrast="drug")


def test_every_figure_of_a_page_has_a_name_and_words_of_its_own(tmp_path) -> None:
    folder = add_replication(add_tables(results_folder(tmp_path, neurons=12, animals=3)))
    studies = [{"label": f"lab {place}", "effect": 1.0, "variance": 0.1} for place in range(3)]
    replication = json.loads((folder / "replication.json").read_text())
    replication["pooled"]["M"]["studies"] = studies
    (folder / "replication.json").write_text(json.dumps(replication))
    (folder / "meta").mkdir()
    (folder / "meta" / "M.json").write_text(json.dumps(replication["pooled"]["M"]))
    drawn = page(read_results(folder)).pictures
    assert len({picture.name for picture in drawn}) == len(drawn) > 15
    assert all(re.fullmatch("[a-z0-9_]+", picture.name) for picture in drawn)
    assert all(len(picture.description) > 20 for picture in drawn)
