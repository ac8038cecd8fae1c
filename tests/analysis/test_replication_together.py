"""Several data sets in one model, without one laboratory at a time, and by what is known of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.meta_analysis.meta import meta
from nwbswitch.analysis.replication.moderators import effects_with_moderators
from nwbswitch.analysis.replication.replication import _left_out
from nwbswitch.analysis.replication.together import Member, joint_model, stages
from nwbswitch.analysis.runs.results_folder import estimate_switch
from nwbswitch.analysis.session_tables import sessions_of_cells
from nwbswitch.analysis.simulation.count_studies import SCENARIOS, simulate_study
from nwbswitch.analysis.simulation.study_cells import cells_table
from nwbswitch.analysis.table_file import distinct_rows, read_table, write_csv, write_parquet
from nwbswitch.schemas.errors import InputFileError


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> list[Member]:
    out = tmp_path_factory.mktemp("labs")
    found = []
    for number, world in enumerate(("switch", "switch", "reshuffle")):
        folder = out / f"lab{number}"
        folder.mkdir()
        study = simulate_study(
            SCENARIOS[world], n_animals=6, n_neurons=25, window_s=300.0, rng=np.random.default_rng(number)
        )
        cells = cells_table(study)
        write_parquet(cells, folder / "cells.parquet")
        write_csv(sessions_of_cells(cells), folder / "sessions.csv")
        estimate_switch(folder / "cells.parquet", folder / "estimates.csv", draws=2)
        cell_type = str(cells["cell_type"].iloc[0])
        found.append(Member(f"lab{number}", folder, "ketamine", "saline", cell_type))
    return found


def test_both_estimands_are_pooled_with_the_covariance_of_the_animals(members: list[Member]) -> None:
    model = joint_model(members)
    assert model["status"] == "ok"
    rows = {each["term"]: each for each in model["coefficients"]}
    tables = [read_table(each.folder / "estimates.csv") for each in members]
    for name in ("SW", "rho_star"):
        own = [
            table[
                (table["arm"] == "ketamine") & (table["contrast"] == "vs_saline") & (table["level"] == "arm")
            ]
            .set_index("estimand")
            .loc[name, "estimate"]
            for table in tables
        ]
        assert min(own) < rows[f"estimand{name}"]["estimate"] < max(own)
    assert {each["term"] for each in model["robust"]["coefficients"]} == set(rows)


def test_one_stage_stands_beside_two(members: list[Member]) -> None:
    found = stages(members)
    assert found["status"] == "ok"
    one, two, difference = found["stages"]
    assert difference["estimate"] == pytest.approx(one["estimate"] - two["estimate"])
    assert abs(difference["estimate"]) < one["se"]
    assert [each["status"] for each in found["studies"]] == ["ok"] * 3


def test_two_data_sets_are_not_pooled_and_the_reason_is_told(members: list[Member]) -> None:
    assert "a pooled effect needs 3" in joint_model(members[:2])["status"]
    assert stages(members[:2])["status"] != "ok"


def test_what_the_plan_states_stays_and_the_rest_comes_from_sessions_and_cells(members: list[Member]) -> None:
    effects = pd.DataFrame({"dataset": ["lab0", "lab1"], "arm": "ketamine", "modality": ["mine", "theirs"]})
    folders = {each.dataset: each.folder for each in members[:2]}
    found = effects_with_moderators(effects, folders)
    assert found["modality"].tolist() == ["mine", "theirs"]
    assert found["n_animals"].tolist() == [6, 6]
    assert found["window_s"].to_numpy() == pytest.approx([300.0, 300.0])


def test_laboratories_are_left_out_whole() -> None:
    rows = pd.DataFrame(
        {
            "M": [0.1, 0.3, 0.2, 0.9, 1.0],
            "vi": 0.01,
            "lab": ["a", "a", "b", "c", "c"],
            "dataset": list("vwxyz"),
        }
    )
    fit = meta(rows, effect="M", variance="vi", slab="dataset")
    found = {each["without"]: each for each in _left_out(fit)}
    assert {name: each["k"] for name, each in found.items()} == {"a": 3, "b": 4, "c": 3}
    alone = meta(rows[rows["lab"] != "c"], effect="M", variance="vi", slab="dataset")
    assert found["c"]["estimate"] == pytest.approx(alone.coefficients[0].estimate, rel=1e-12)
    assert _left_out(meta(rows.assign(lab="a"), effect="M", variance="vi", slab="dataset")) == ()


def test_distinct_rows_are_those_of_the_whole_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nwbswitch.analysis.table_file.BATCH_ROWS", 7)
    table = pd.DataFrame({"a": np.arange(50) % 4, "b": ["x", "y"] * 25, "c": np.arange(50)})
    write_parquet(table, tmp_path / "t.parquet")
    found = distinct_rows(tmp_path / "t.parquet", ("a", "b", "absent"))
    pd.testing.assert_frame_equal(found, table[["a", "b"]].drop_duplicates().reset_index(drop=True))
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    with pytest.raises(InputFileError, match="cannot be read"):
        distinct_rows(tmp_path / "t.parquet", ("a",))
