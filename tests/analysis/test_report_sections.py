"""Parts of the report: data left out, controls, naive fractions, the plan, time courses, tables to take."""

from __future__ import annotations

import base64
import gzip
import io
import json

import numpy as np
import pandas as pd
import pytest
from report_material import add_replication, add_tables, results_folder

from nwbswitch.analysis.estimands.course_features import FROM_THE_START
from nwbswitch.analysis.reporting.blocks import Folded, Pictures, Table, Text, pictures_in
from nwbswitch.analysis.reporting.course_section import course_section
from nwbswitch.analysis.reporting.data_section import data_section
from nwbswitch.analysis.reporting.first_screen import animal_lines, first_screen
from nwbswitch.analysis.reporting.methods import REFERENCES, methods, references
from nwbswitch.analysis.reporting.model_section import model_section
from nwbswitch.analysis.reporting.picture_sections import neurons_section
from nwbswitch.analysis.reporting.pooling_section import pooling_section
from nwbswitch.analysis.reporting.provenance_section import links_of
from nwbswitch.analysis.reporting.replication_page import replication_screen, replication_sections
from nwbswitch.analysis.reporting.report import report
from nwbswitch.analysis.reporting.specification_section import specification_section
from nwbswitch.analysis.reporting.verdict_sections import control_section, estimates_section, naive_section
from nwbswitch.analysis.reporting.words import control_tally, headline, plan_sentence
from nwbswitch.analysis.runs.neuron_sums import neuron_sums
from nwbswitch.analysis.runs.results_folder import Results, read_results
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError, TableError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return add_tables(results_folder(tmp_path_factory.mktemp("full"), neurons=12))


@pytest.fixture(scope="module")
def results(folder) -> Results:
    return read_results(folder)


def _tables(blocks) -> list[Table]:
    found = []
    for block in blocks:
        if isinstance(block, Table):
            found.append(block)
        elif isinstance(block, Folded):
            found += _tables(block.blocks)
    return found


def _words(blocks) -> str:
    return " ".join(block.text for block in blocks if isinstance(block, Text))


def test_left_out_sessions_are_counted_with_their_reasons(results) -> None:
    section = data_section(results)
    assert section.gist == "12 of 15 sessions analysed"
    (picture,) = pictures_in(section.blocks)
    assert "15 recording sessions found, 3 left out" in picture.description
    assert "2 no drug log" in picture.description
    by_arm, every = _tables(section.blocks)
    rows = {row[0]: dict(zip(by_arm.head, row, strict=True)) for row in by_arm.rows}
    assert rows["saline"]["Animals"] == rows["ketamine"]["Animals"] == "6"
    assert sum(int(row["Left out"]) for row in rows.values()) == 3
    assert rows["ketamine"]["Sex"] == "3 F, 3 M"
    assert "not stated" in rows["ketamine"]["Batch"]
    assert len(every.rows) == 15
    assert [row[-1] for row in every.rows].count("no: no drug log") == 2


def test_without_a_table_of_sessions_the_section_says_so(results) -> None:
    from dataclasses import replace

    section = data_section(replace(results, sessions=None))
    assert "no sessions.csv" in _words(section.blocks)


def test_naive_fractions_stand_beside_saline_and_the_baseline(results) -> None:
    section = naive_section(results)
    (table,) = _tables(section.blocks)
    for column in (
        "saline, drug window",
        "ketamine, drug window",
        "ketamine, pseudo-injection",
        "ketamine, two halves of the baseline",
    ):
        assert column in table.head
    own = results.estimates
    row = own[
        (own["estimand"] == "naive_down")
        & (own["arm"] == "ketamine")
        & (own["level"] == "arm")
        & (own["contrast"] == "drug")
        & (own["cell_type"] == "excitatory")
    ]
    shown = table.rows[0][table.head.index("ketamine, drug window")]
    assert shown == f"{100 * row['estimate'].item():.0f}"


def test_controls_stand_beside_the_effect(results) -> None:
    section = control_section(results)
    rows = _tables(section.blocks)[0].rows
    assert [row[:2] for row in rows] == [[f"N{place}", "ketamine"] for place in range(1, 6)]
    first = pictures_in(section.blocks)[0]
    labels = [label.get_text() for label in first.figure.axes[0].get_yticklabels()]
    assert labels == ["N5", "N4", "N2", "N1", "ketamine"]


def test_every_outcome_of_a_control_is_counted() -> None:
    def arm(*outcomes: str) -> dict:
        return {
            "controls": {
                f"N{place}": {"outcome": word, "sentence": f"N{place} {word}"}
                for place, word in enumerate(outcomes, start=1)
            }
        }

    drug = arm("passed", "inconclusive", "impossible", "passed", "passed")
    tally = control_tally({"reference": "saline", "arms": {"ketamine": drug, "saline": arm("impossible")}})
    assert tally.sentence == "0 failed of 5: 3 passed, 1 inconclusive, 1 impossible"
    tally = control_tally(
        {"reference": "saline", "arms": {"ketamine": arm("failed"), "saline": arm("failed")}}
    )
    assert (tally.failed, tally.total) == (2, 2)
    assert tally.failures == ("N1 failed", "N1 failed")
    assert control_tally({"reference": "x", "arms": {"x": arm("impossible")}}).impossible == 1
    assert "No negative control" in control_tally({"reference": "x", "arms": {}}).sentence


def test_a_failed_control_is_in_the_sentence_of_too_few_animals() -> None:
    failed = {"N2": {"outcome": "failed", "sentence": "x"}}
    arm = {"verdict": "not_enough_animals", "n_animals": 3, "contrast": "drug", "estimands": {}}
    sentence = headline({"arms": {"mk": {**arm, "controls": failed}}, "reference": None})
    assert sentence == (
        "Too few animals for a verdict on mk (3; 6 needed), and a negative control failed (N2)."
    )


@pytest.mark.parametrize(
    ("plan", "words"),
    [
        (None, "Plan never frozen"),
        ({"status": "never"}, "Plan never frozen"),
        (
            {"status": "frozen", "frozen_at": "2026-06-03T08:00:00+00:00"},
            "Plan frozen on 3 June 2026 and unchanged since.",
        ),
        (
            {"status": "frozen", "frozen_at": None, "blinded": True},
            "Plan frozen and unchanged since. The arms are coded.",
        ),
        (
            {"status": "changed", "frozen_at": "2026-06-03", "changes": ["a", "b", "c", "d", "e"]},
            "Plan changed since it was frozen on 3 June 2026: a; b; c; and 2 more.",
        ),
        ({"status": "changed", "frozen_at": "yesterday", "changes": []}, "how is not stated"),
    ],
)
def test_the_plan_is_told_in_a_line(plan, words) -> None:
    assert words in plan_sentence(plan)


def test_the_first_screen_shows_a_changed_plan(folder, tmp_path) -> None:
    for name in ("cells.parquet", "estimates.csv"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    result = json.loads((folder / "result.json").read_text())
    result["plan"] = {"status": "changed", "frozen_at": "2026-06-03", "changes": ["margin: .25 before"]}
    (tmp_path / "result.json").write_text(json.dumps(result))
    screen = first_screen(read_results(tmp_path))
    assert screen.plan_is_bad
    assert "margin" in screen.plan


def test_what_is_said_of_an_animal_is_what_was_estimated(results) -> None:
    said = animal_lines(results)
    assert list(said) == [f"m{place:02d}" for place in range(1, 7)]
    own = results.estimates
    row = own[
        (own["animal"] == "m02")
        & (own["level"] == "animal")
        & (own["arm"] == "ketamine")
        & (own["contrast"] == "drug")
        & (own["estimand"] == "rho_star")
        & (own["cell_type"] == "excitatory")
    ]
    assert f"ρ* {row['estimate'].item():.2f}".replace("-", "\u2212") in said["m02"][1]
    assert said["m02"][0].startswith("saline: ")


def test_exploratory_estimates_are_apart_and_inside_no_baseline(results) -> None:
    section = estimates_section(results)
    folded = [block for block in section.blocks if isinstance(block, Folded)]
    assert len(folded) == 1
    (table,) = _tables(folded)
    assert table.head[0] == "Estimand"
    assert not [column for column in table.head if "pseudo" in column]
    assert not [row for row in table.rows if row[0].startswith("naive")]


def test_time_courses_have_their_features(results) -> None:
    section = course_section(results)
    assert section.gist == "ketamine: State correlation ρ* changes from minute 2.5"
    (table,) = _tables(section.blocks)
    assert table.rows[0][:3] == ["ketamine", "Net drive G (log2)", "2.5 (1.5 to 3.5)"]
    assert table.rows[-1][2:] == ["no onset", "–", "–", "–"]
    assert len(pictures_in(section.blocks)) == 3


def test_specifications_are_told_and_drawn(results) -> None:
    section = specification_section(results)
    assert section.gist == "ketamine: switch in 23 of 24"
    assert "23 switch, 1 undecided" in _words(section.blocks)
    assert len(pictures_in(section.blocks)) == 3


def test_what_was_not_made_is_said(results) -> None:
    from dataclasses import replace

    bare = replace(results, time_courses=None, specifications=None)
    assert course_section(bare).gist == "not made"
    assert specification_section(bare).gist == "not run"
    assert model_section({}).gist == "none fitted"


def test_animals_of_the_forest_have_intervals(results) -> None:
    section = pooling_section(results)
    (picture,) = [each for block in section.blocks if isinstance(block, Pictures) for each in block.pictures]
    lines = [line for line in picture.figure.axes[0].lines if len(line.get_xdata()) == 2]
    spans = [np.ptp(np.asarray(line.get_xdata(), dtype=float)) for line in lines]
    assert sum(span > 0 for span in spans) == 6


def test_many_neurons_are_a_density_and_the_page_says_so(results, monkeypatch) -> None:
    assert "density" not in _words(neurons_section(results).blocks)
    monkeypatch.setattr("nwbswitch.analysis.figures.switch_figures.MAX_POINTS", 20)
    section = neurons_section(results)
    assert "are a density" in _words(section.blocks)
    first = pictures_in(section.blocks)[0].figure.axes[0]
    assert len(first.collections) == 1
    assert first.collections[0].get_array().sum() == 48


def test_citations_are_those_of_the_text() -> None:
    result = {
        "arms": {"a": {"controls": {"N1": {}}, "design": None}},
        "reference": None,
        "tau_c_limits": [],
        "cell_type": "excitatory",
        "margin": 0.25,
        "seed": 1,
    }
    for pooled, modelled in ((False, False), (True, True)):
        text = " ".join(methods(result, {}, "1.0", pooled=pooled, modelled=modelled))
        cited = references(pooled=pooled, modelled=modelled)
        for work in REFERENCES.values():
            name = work.split()[0]
            assert (name in text) == (work in cited), name


def test_tables_to_take_away_are_whole(results) -> None:
    links, kept = links_of({"estimates": results.estimates, "sessions": results.sessions})
    assert not kept
    held = {link.name: base64.b64decode(link.address.partition("base64,")[2]) for link in links}
    assert set(held) == {"estimates.csv", "sessions.csv"} or set(held) == {"estimates.csv.gz", "sessions.csv"}
    first = next(iter(held))
    text = gzip.decompress(held[first]) if first.endswith(".gz") else held[first]
    assert len(pd.read_csv(io.BytesIO(text))) == len(results.estimates)


def test_tables_that_are_too_large_stay_in_the_folder(monkeypatch) -> None:
    monkeypatch.setattr("nwbswitch.analysis.reporting.provenance_section.MAX_HELD_BYTES", 50_000)
    rng = np.random.default_rng(1)
    large = pd.DataFrame(rng.random((8000, 5)), columns=list("abcde"))
    links, kept = links_of({"large": large, "small": large.head(5)})
    assert kept == ["large.csv"]
    assert [link.name for link in links] == ["small.csv"]


def test_sums_of_neurons_are_those_of_the_cells(folder) -> None:
    cells = pd.read_parquet(folder / "cells.parquet")
    sums = neuron_sums(folder / "cells.parquet")
    keys = ["animal", "session", "neuron", "window"]
    wanted = cells.groupby(keys)[["n_events", "exposure_s"]].sum()
    found = sums.astype({name: str for name in keys if name != "neuron"}).set_index(keys)[list(wanted)]
    pd.testing.assert_frame_equal(found.sort_index(), wanted.sort_index(), check_dtype=False)


def test_cells_without_a_column_are_named(folder, tmp_path) -> None:
    cells = pd.read_parquet(folder / "cells.parquet")
    cells.drop(columns="n_events").to_parquet(tmp_path / "cells.parquet")
    with pytest.raises(TableError, match="n_events"):
        neuron_sums(tmp_path / "cells.parquet")
    cells.assign(n_events="many").to_parquet(tmp_path / "cells.parquet")
    with pytest.raises((TableError, InputFileError), match=r"n_events|cells.parquet"):
        neuron_sums(tmp_path / "cells.parquet")
    (tmp_path / "cells.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputFileError, match="cells.parquet"):
        neuron_sums(tmp_path / "cells.parquet")


def test_several_data_sets_are_told_with_every_reason(tmp_path) -> None:
    replication = json.loads((add_replication(tmp_path) / "replication.json").read_text())
    screen = replication_screen(replication, None)
    assert screen.sentence.startswith("The same verdict")
    assert [fact.value for fact in screen.facts] == ["5", "4", "30", "1"]
    sections = {section.key: section for section in replication_sections(replication)}
    assert list(sections) == ["candidates", "pooled", "published"]
    (table,) = _tables(sections["candidates"].blocks)
    assert table.rows[-1][3] == "no saline in the same study; 4 animals, 6 needed"


def test_none_eligible_has_no_figure_and_no_pooling() -> None:
    replication = {
        "sentence": "Whether this replicates cannot be judged from these data.",
        "datasets": [{"dataset": "a", "eligible": False, "reasons": ["no drug"], "n_animals": 0}],
        "pooled": None,
        "prediction": None,
    }
    screen = replication_screen(replication, None)
    assert screen.picture is None
    assert screen.facts[1].bad
    assert [section.key for section in replication_sections(replication)] == ["candidates"]


def test_figures_are_written_for_a_paper(folder, tmp_path, monkeypatch) -> None:
    written = []
    monkeypatch.setattr(
        "nwbswitch.analysis.reporting.report.write_figure",
        lambda figure, into, name: written.append((into, name)),
    )
    path = report(folder, tmp_path / "r.html", figures=tmp_path / "figures")
    assert (tmp_path / "figures", "main_state_correlation") in written
    assert len(set(written)) == path.read_text(encoding="utf-8").count("<svg ")
    again = list(written)
    written.clear()
    report(folder, tmp_path / "r.html", figures=tmp_path / "figures")
    assert written == again
    specifications = folder / "specifications.csv"
    held = specifications.read_text()
    try:
        specifications.write_text("\n".join(held.splitlines()[:-1]))
        with pytest.raises(ExistingOutputError):
            report(folder, tmp_path / "r.html")
    finally:
        specifications.write_text(held)


def test_pages_of_single_data_sets_are_linked(tmp_path) -> None:
    folder = add_replication(tmp_path / "several")
    beside = folder / "datasets" / "lab 1"
    beside.mkdir(parents=True)
    (beside / "report.html").write_text("mine")
    text = report(folder, folder / "report.html").read_text(encoding="utf-8")
    assert '<a href="datasets/lab%201/report.html">Page of lab 1</a>' in text
    text = report(folder, tmp_path / "elsewhere.html").read_text(encoding="utf-8")
    assert 'href="several/datasets/lab%201/report.html"' in text


def test_an_onset_before_the_first_window_is_no_time(results) -> None:
    from dataclasses import replace

    features = results.course_features.copy()
    first = (features["feature"] == "onset_s") & features["estimate"].notna()
    features.loc[first, "status"] = FROM_THE_START
    section = course_section(replace(results, course_features=features))
    assert section.gist.endswith("changes by minute 2.5")
    (table,) = _tables(section.blocks)
    assert table.rows[0][2].startswith("≤ 2.5")


def test_many_arms_are_told_in_short_and_in_the_order_of_doses() -> None:
    arm = {"verdict": "partial", "contrast": "drug", "n_animals": 7, "controls": {}}
    arm["estimands"] = {"rho_star": {"estimate": 0.5, "ci_low": 0.4, "ci_high": 0.6}}
    failed = {**arm, "verdict": "undecided", "controls": {"N1": {"outcome": "failed", "sentence": "x"}}}
    stable = {**arm, "verdict": "stable", "estimands": {"rho_star": {"estimate": 0.99}}}
    arms = {"ket 10": arm, "ket 3": failed, "ket 30": arm, "saline": stable}
    assert headline({"arms": arms, "reference": "saline"}) == (
        "Ket 3: undecided (ρ* = 0.50), and a negative control failed (N1); ket 10: partial remapping "
        "(ρ* = 0.50); ket 30: partial remapping (ρ* = 0.50); saline: stable (ρ* = 0.99)."
    )
