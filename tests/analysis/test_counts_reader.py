"""Counts from files, a piece at a time: the same as from the table in memory, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nwbswitch.analysis.estimands import counts_reader as module
from nwbswitch.analysis.estimands.counts import SessionCounts, read_sessions
from nwbswitch.analysis.estimands.counts_reader import read_cells
from nwbswitch.analysis.simulation.count_studies import Scenario, cells_table, simulate_study
from nwbswitch.schemas.errors import InputFileError, NwbswitchError, TableError, UnsafeFileError


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    study = simulate_study(Scenario(), n_animals=3, n_neurons=7, rng=np.random.default_rng(0), window_s=120)
    table = cells_table(study)
    types = np.where(table["neuron"] < 2, "PV", "excitatory")
    return table.assign(cell_type=types, event_basis="crossing", exposure_s=29.97)


def _written(table: pd.DataFrame, path: Path, rows: int | None = None) -> Path:
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), path, row_group_size=rows)
    return path


def _same(found: list[SessionCounts], expected: list[SessionCounts]) -> None:
    assert len(found) == len(expected)
    for one, two in zip(found, expected, strict=True):
        for name in ("dataset", "animal", "session", "cell_type", "arm", "order", "anatomical", "simulated"):
            assert getattr(one, name) == getattr(two, name)
        assert one.event_bases == two.event_bases == {"crossing"}
        assert one.identity.tolist() == two.identity.tolist()
        assert one.rois.tolist() == two.rois.tolist()
        assert one.windows.keys() == two.windows.keys()
        for name, window in one.windows.items():
            for part in ("events", "negative", "exposure_s", "half", "start_s"):
                assert np.array_equal(getattr(window, part), getattr(two.windows[name], part))


def test_a_file_with_sessions_in_one_piece_each(cells: pd.DataFrame, tmp_path: Path) -> None:
    _same(read_cells(_written(cells, tmp_path / "cells.parquet")), read_sessions(cells))


@pytest.mark.parametrize("batch_rows", [1, 37, 500])
def test_sessions_that_are_mixed_or_come_in_pieces(
    cells: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_rows: int
) -> None:
    some = cells[cells["animal"] == "m01"] if batch_rows == 1 else cells
    monkeypatch.setattr(module, "BATCH_ROWS", batch_rows)
    mixed = _written(some.sample(frac=1, random_state=2), tmp_path / "cells.parquet", rows=101)
    _same(read_cells(mixed), read_sessions(some))


def test_text_of_any_kind_and_a_csv(cells: pd.DataFrame, tmp_path: Path) -> None:
    expected = read_sessions(cells)
    category = cells.assign(
        animal=cells["animal"].astype("category"), tracking_id=pd.Categorical(cells["tracking_id"])
    )
    _same(read_cells(_written(category, tmp_path / "category.parquet")), expected)
    cells.to_csv(tmp_path / "cells.csv", index=False)
    _same(read_cells(tmp_path / "cells.csv"), expected)


def test_names_that_are_numbers_or_missing(cells: pd.DataFrame, tmp_path: Path) -> None:
    numbered = cells.assign(
        animal=cells["animal"].str[1:].astype(int),
        tracking_id=cells["tracking_id"].where(cells["neuron"] > 3),
    )
    found = read_cells(_written(numbered, tmp_path / "cells.parquet"))
    _same(found, read_sessions(numbered))
    assert {each.animal for each in found} == {"1", "2", "3"}
    assert found[0].identity[0] == f"{found[0].session}/plane0/0"


def test_one_row_stands_for_equal_exposures(cells: pd.DataFrame) -> None:
    window = read_sessions(cells)[0].windows["drug"]
    assert window.exposure_s.strides[0] == 0
    assert window.exposure_s.shape == window.events.shape
    uneven = cells.assign(exposure_s=np.linspace(20, 30, len(cells)))
    assert read_sessions(uneven)[0].windows["drug"].exposure_s.strides[0] > 0


def _without_a_column(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.drop(columns="depth_um")


def _words_for_numbers(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.assign(n_events=["x" if place == 600 else "1" for place in range(len(cells))])


def _lists(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.assign(arm=[["saline"]] * len(cells))


def _twice(cells: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([cells, cells.iloc[[3]]])


def _two_ids(cells: pd.DataFrame) -> pd.DataFrame:
    changed = cells.copy()
    changed.loc[changed.index[5], "tracking_id"] = "another"
    return changed


def _scattered(cells: pd.DataFrame) -> pd.DataFrame:
    many = pd.concat([cells] * 20, ignore_index=True)
    return many.assign(neuron=np.arange(len(many)), block=np.arange(len(many)), tracking_id="")


def _endless_name(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.assign(plane="x" * 2000)


def _distant_numbers(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.assign(neuron=np.where(cells["neuron"] == 0, 2**50, cells["neuron"]))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_without_a_column, "no column 'depth_um'"),
        (_words_for_numbers, "expected a whole number"),
        (_lists, "'arm' holds lists"),
        (_twice, "same block twice"),
        (_two_ids, "two tracking ids"),
        (_scattered, "Number the blocks alike"),
        (_endless_name, "2000 characters"),
        (_distant_numbers, "neuron numbers span"),
    ],
)
def test_a_file_that_cannot_be_right_is_refused(
    cells: pd.DataFrame, tmp_path: Path, spoil: Callable[[pd.DataFrame], pd.DataFrame], words: str
) -> None:
    with pytest.raises(TableError, match=words):
        read_cells(_written(spoil(cells), tmp_path / "cells.parquet"))


def test_the_row_of_a_bad_cell_is_that_of_its_piece(
    cells: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_ROWS", 500)
    path = _written(_words_for_numbers(cells), tmp_path / "cells.parquet")
    with pytest.raises(TableError, match="Row 101 .* counted from row 501 of the file"):
        read_cells(path)


def _missing(path: Path) -> None:
    path.unlink()


def _damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:4000] = bytes(3900)
    path.write_bytes(bytes(content))


def _no_parquet(path: Path) -> None:
    path.write_bytes(b"dataset,animal")


@pytest.mark.parametrize("spoil", [_missing, _damaged, _no_parquet])
def test_a_damaged_file_is_named(cells: pd.DataFrame, tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    path = _written(cells, tmp_path / "cells.parquet")
    spoil(path)
    with pytest.raises(NwbswitchError, match=r"cells\.parquet"):
        read_cells(path)


def test_an_empty_file_is_refused(cells: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="no rows"):
        read_cells(_written(cells.iloc[:0].astype(cells.dtypes), tmp_path / "cells.parquet"))


def test_more_rows_than_can_be_in_a_file_are_not_made(
    cells: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nwbswitch.analysis.table_file.MIN_SUSPECT_BYTES", 1000)
    monkeypatch.setattr("nwbswitch.analysis.table_file.MAX_RATIO", 1)
    with pytest.raises(UnsafeFileError, match="rows"):
        read_cells(_written(cells, tmp_path / "cells.parquet"))


def test_too_little_memory_says_how_much_is_needed(
    cells: pd.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(rows: object) -> SessionCounts:
        raise MemoryError

    monkeypatch.setattr(module, "session_counts", full)
    path = _written(cells, tmp_path / "cells.parquet")
    with pytest.raises(
        InputFileError, match=rf"{len(cells)} rows, for which memory is too little; .* needed"
    ):
        read_cells(path)
