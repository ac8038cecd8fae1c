"""The report: what it says, that it is one safe page, and that it is refused over another."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.clock_tables import write_clocks_file
from nwbswitch.analysis.figures import switch_figures as figures
from nwbswitch.analysis.reporting.printed_numbers import signed
from nwbswitch.analysis.reporting.report import report
from nwbswitch.analysis.reporting.words import control_tally, headline, reason, typeset
from nwbswitch.analysis.runs.models import fit_table, pool_table
from nwbswitch.analysis.runs.results_folder import estimate_switch, read_results
from nwbswitch.analysis.simulation.count_studies import SCENARIOS, cells_table, simulate_study
from nwbswitch.schemas.clock_table import CLOCKS
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError


def _results(folder, scenario: str, animals: int):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(8)
    cells = cells_table(simulate_study(SCENARIOS[scenario], n_animals=animals, n_neurons=40, rng=rng))
    cells.to_parquet(folder / "cells.parquet")
    estimate_switch(folder / "cells.parquet", folder / "estimates.csv")


@pytest.fixture(scope="module")
def switched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("switched")
    _results(folder, "switch", 8)
    fit_table(
        folder / "rates.parquet",
        "sqrt_rate ~ arm * window + (1 | animal) + (1 | neuron)",
        out=folder / "fit.json",
    )
    where = "level == 'animal' and contrast == 'vs_saline' and estimand == 'M'"
    estimates = folder / "estimates.csv"
    out = folder / "meta.json"
    pool_table(estimates, effect="estimate", variance="se**2", where=where, slab="animal", out=out)
    return folder


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))


def test_first_screen_answers_and_counts(switched) -> None:
    text = report(switched, switched / "report.html").read_text()
    head = text[text.index('<section class="first"') : text.index('<div class="tools"')]
    assert "Ketamine switched the network" in head
    assert "under saline it was stable" in head
    tally = control_tally(json.loads((switched / "result.json").read_text()))
    for fact in (
        "<dt>animals</dt><dd>8</dd>",
        "<dt>recording sessions</dt><dd>16</dd>",
        "<dt>excitatory neurons</dt><dd>320</dd>",
        f"<dt>negative controls failed ({tally.sentence.partition(': ')[2]})</dt><dd>0 of {tally.total}</dd>",
        "Plan never frozen",
    ):
        assert fact in head
    assert head.count("<svg") == 1
    assert "Simulated data." in text[: text.index("<h1")]


def test_every_part_is_there(switched) -> None:
    text = report(switched, switched / "report.html").read_text()
    for part in (
        "naive % down",
        "N4 impossible here",
        "Knapp-Hartung",
        "armketamine:windowdrug",
        "nwbswitch 0.",
    ):
        assert part in text
    studies = json.loads((switched / "meta.json").read_text())["studies"]
    drawn = [svg.partition("</svg>")[0] for svg in text.split("<svg")[1:]]
    forest = next(svg for svg in drawn if "Forest plot" in svg)
    assert len(studies) == 8
    assert all(f">{study['label']}<" in forest for study in studies)
    assert ">pooled<" in forest


def test_nothing_is_fetched_and_only_our_script_runs(switched) -> None:
    text = report(switched, switched / "report.html").read_text()
    page = _Page(text)
    assert not [tag for tag, _ in page.tags if tag in ("iframe", "object", "embed", "base", "form")]
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert not [name for _, attributes in page.tags for name in attributes if name == "style"]
    policy = next(each["content"] for tag, each in page.tags if each.get("http-equiv"))
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    styles = re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL)
    assert len(scripts) == len(styles) == 1
    for held in (*scripts, *styles):
        known = base64.b64encode(hashlib.sha256(held.encode()).digest()).decode()
        assert f"'sha256-{known}'" in policy
    links = [
        value
        for _, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "xlink:href")
    ]
    assert links
    assert all(value.startswith(("#", "data:")) for value in links)
    assert not re.search(r"url\((?!#)", text)


def test_every_figure_has_words(switched) -> None:
    page = _Page(report(switched, switched / "report.html").read_text())
    figures = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert all(each.get("role") == "img" and each.get("aria-label") for each in figures)


def test_text_from_files_is_escaped(tmp_path) -> None:
    _results(tmp_path, "no effect", 3)
    evil = "<script>alert(1)</script>"
    path = tmp_path / "result.json"
    result = json.loads(path.read_text())
    result["dataset"] = result["design"] = evil
    path.write_text(json.dumps(result))
    text = report(tmp_path, tmp_path / "r.html").read_text()
    assert evil not in text
    assert "&lt;script&gt;" in text


def test_few_animals_get_no_verdict(tmp_path) -> None:
    _results(tmp_path, "switch", 3)
    text = report(tmp_path, tmp_path / "r.html").read_text()
    assert "Too few animals for a verdict on ketamine (3; 6 needed)" in text
    assert "3 animals, 6 needed" in text
    assert "No mixed model was fitted" in text


def test_another_report_is_not_replaced(switched, tmp_path) -> None:
    target = tmp_path / "r.html"
    assert report(switched, target) == report(switched, target)
    target.write_text("mine")
    with pytest.raises(ExistingOutputError):
        report(switched, target)
    assert target.read_text() == "mine"
    assert report(switched, target, overwrite=True).read_text() != "mine"


@pytest.mark.parametrize("missing", ["cells.parquet", "estimates.csv", "result.json"])
def test_a_missing_file_is_named(tmp_path, missing) -> None:
    _results(tmp_path, "no effect", 2)
    (tmp_path / missing).unlink()
    with pytest.raises(InputFileError, match=missing):
        report(tmp_path, tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_headline_names_a_failed_control() -> None:
    rho = {"estimate": 0.5, "ci_low": 0.4, "ci_high": 0.6}
    arm = {
        "verdict": "undecided",
        "contrast": "drug",
        "estimands": {"rho_star": rho},
        "controls": {"N1": {"outcome": "failed", "sentence": "x"}},
    }
    reference = {"verdict": "stable", "contrast": "drug", "estimands": {}, "controls": {}}
    sentence = headline({"arms": {"ketamine": arm, "saline": reference}, "reference": "saline"})
    assert "a negative control failed" in sentence
    assert "\u03c1* = 0.50" in sentence


def _cells(**options):
    rng = np.random.default_rng(1)
    study = simulate_study(SCENARIOS["switch"], n_animals=6, n_neurons=20, rng=rng, **options)
    return cells_table(study)


def _text(folder, cells) -> str:
    cells.to_parquet(folder / "cells.parquet")
    estimate_switch(folder / "cells.parquet", folder / "estimates.csv")
    return report(folder, folder / "r.html").read_text()


def test_an_arm_whose_name_a_spreadsheet_would_run_is_drawn(tmp_path) -> None:
    drug = "+MK-801_0.3"
    text = _text(tmp_path, _cells(drug=drug))
    assert drug in set(read_results(tmp_path).estimates["arm"])
    assert "+MK-801_0.3 switched the network" in text
    assert "+MK-801_0.3: drug window</text>" in text


def test_an_arm_without_a_drug_window_is_not_told_by_its_pseudo_injection(tmp_path) -> None:
    cells = _cells()
    text = _text(tmp_path, cells[~((cells["arm"] == "ketamine") & (cells["window"] == "drug"))])
    assert "Ketamine was recorded without a drug window; under saline" in text
    assert "ketamine: pseudo-injection in the baseline" in text
    assert "nothing to compare with: no drug window" in text


def test_an_animal_without_valid_frames_is_counted(tmp_path) -> None:
    cells = _cells()
    blind = (cells["animal"] == "m01") & (cells["window"] == "drug") & (cells["arm"] == "ketamine")
    cells["exposure_s"] = cells["exposure_s"].mask(blind, 0.0)
    cells["n_events"] = cells["n_events"].mask(blind, 0)
    text = _text(tmp_path, cells)
    words = "5 animals (1 more without valid frames in both windows), 120 neurons, 20 of them left out"
    assert f"ketamine: drug window against baseline, {words}" in text
    assert "saline: drug window against baseline, 6 animals, 120 neurons<" in text


def test_a_reference_without_a_drug_window_is_named(tmp_path) -> None:
    cells = _cells()
    text = _text(tmp_path, cells[~((cells["arm"] == "saline") & (cells["window"] == "drug"))])
    assert "against its own pseudo-injection" in text
    assert "there is no reference arm" not in text
    assert "; saline was recorded without a drug window." in text


def test_neurons_of_every_type_have_a_figure_of_their_own(tmp_path, monkeypatch) -> None:
    drawn = []

    def keep(cells, *_args, **_options):
        drawn.append(tuple(cells["cell_type"].unique()))
        return neurons_figure(cells, *_args, **_options)

    neurons_figure = figures.neurons_figure
    monkeypatch.setattr(figures, "neurons_figure", keep)
    cells = _cells()
    text = _text(tmp_path, cells.assign(cell_type=np.where(cells["neuron"] < 8, "PV", "excitatory")))
    assert drawn == [("excitatory",), ("excitatory",), ("PV",), ("PV",)]
    assert '<input type="checkbox" value="PV" checked>' in text
    assert text.count('data-cell-type="PV"') == 2 + 3


def test_two_groups_and_cells_of_unknown_making_are_told_in_the_methods(tmp_path) -> None:
    text = _text(tmp_path, _cells(design="between", reference="vehicle"))
    assert "between groups relabellings of animals" in text
    assert "does not say how activity was measured" in text
    assert "Read the other columns only beside vehicle" in text


def test_steps_of_the_rule_read_as_sentences() -> None:
    held = {"rule": "stable", "held": True, "sentence": "M = -0.01 inside +-0.25"}
    assert reason(held) == "Stable? Yes: M = \u22120.01 inside \u00b10.25."
    not_held = {"rule": "switch without tau_c", "held": False, "sentence": "rho* = 1.00 below 0"}
    assert "No, this does not all hold: \u03c1* = 1.00 below 0" in reason(not_held)
    assert typeset("ses-1 sub-01") == "ses-1 sub-01"
    assert typeset("-0.00 to -0.004") == "0.00 to \u22120.004"


def test_signed_numbers() -> None:
    assert signed(-0.001) == "0.00"
    assert signed(-1.5) == "\u22121.50"


def _clocks(cells, **changed) -> pd.DataFrame:
    """Return a clock table with a camera and a movie in every session."""
    keys = ["dataset", "animal", "session", "source", "source_digest"]
    sessions = cells[keys].drop_duplicates()
    rows = []
    for number, row in enumerate(sessions.to_dict("records")):
        camera = {"stream": "camera", "clock": "camera", "method": "pulses", "offset_s": -12.3456 - number}
        movie = {"stream": "movie", "clock": "daq", "method": "frame pulses", "offset_s": 1.5}
        for stream in (camera, movie):
            base = {
                **row,
                "drift_ppm": 80.0,
                "jitter_ms": 0.25,
                "max_residual_ms": 1.0,
                "n_frames": 54_000,
                "n_pulses": 54_000,
                "n_dropped": 0,
                "n_unmatched": 2,
                "frame_ms": 33.3,
            }
            rows.append({**base, **stream, **(changed if stream is movie and number == 0 else {})})
    return CLOCKS.checked(pd.DataFrame(rows))[list(CLOCKS.names)]


def _section(text: str) -> str:
    start = text.index("<h2>Synchronisation</h2>")
    return text[start : text.index("<h2>Methods</h2>", start)]


def test_clocks_are_shown_when_files_say_something_of_them(tmp_path) -> None:
    cells = _cells()
    assert "Synchronisation" not in _text(tmp_path, cells)
    write_clocks_file(_clocks(cells), tmp_path)
    with pytest.raises(ExistingOutputError):
        report(tmp_path, tmp_path / "r.html")
    section = _section(report(tmp_path, tmp_path / "r.html", overwrite=True).read_text())
    assert "12 of 12 recording sessions say how the clocks" in section
    assert "Nothing about them is doubtful" in section
    assert "failed-word" not in section
    summary, every = section.split('<details class="inner">')
    assert summary.count("<tr>") == 3
    assert every.count("<tr>") == 1 + 24
    camera = summary[summary.index(">camera<") :]
    for cell in (
        "shared pulses",
        ">12<",
        ">\u221223.35 to \u221212.35<",
        ">80<",
        ">0.25 / 1<",
        ">648\u202f000<",
        ">24<",
    ):
        assert cell in camera
    assert ">\u221212.3456<" in every


def test_doubtful_clocks_are_named_with_their_session(tmp_path) -> None:
    cells = _cells()
    _text(tmp_path, cells)
    evil = "<b>movie</b>"
    write_clocks_file(_clocks(cells, stream=evil, n_dropped=540, jitter_ms=np.nan), tmp_path)
    section = _section(report(tmp_path, tmp_path / "r.html", overwrite=True).read_text())
    assert "1 of their numbers is doubtful" in section
    assert evil not in section
    assert "540 of 54000 frames" in section
    assert "540 (1 %)" in section
    assert "\u2013" in section


def test_clocks_of_other_cells_are_not_shown(tmp_path) -> None:
    cells = _cells()
    _text(tmp_path, cells)
    write_clocks_file(_clocks(cells.assign(source_digest="0" * 64)), tmp_path)
    assert read_results(tmp_path).clocks is None
    assert "Synchronisation" not in report(tmp_path, tmp_path / "r.html", overwrite=True).read_text()
