"""Tables that others left or touched: parts of measuring, cells tables, and files that unpack without end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_recording import MEASURED_BLOCK_S, small_recording

from nwbswitch.analysis import measure as measure_module
from nwbswitch.analysis.cells_file import LOCK, METADATA_KEY, Parts
from nwbswitch.analysis.measure import MeasureResult, measure
from nwbswitch.analysis.session_cells import FACTS_KEY
from nwbswitch.analysis.table_file import read_table
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError, NwbswitchError, UnsafeFileError
from nwbswitch.schemas.files import locked


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in (1, 2):
        small_recording(tmp_path / "lab" / f"sub-m{number}.nwb", seed=number, subject_id=f"m{number}")
    return tmp_path / "lab"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "cells.parquet"


def measured(folder: Path, out: Path | None) -> MeasureResult:
    return measure(folder, out=out, block_s=MEASURED_BLOCK_S)


@pytest.fixture
def parts(folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the files of two sessions, of a run that was stopped before it joined them."""
    with monkeypatch.context() as patch:
        patch.setattr(measure_module, "_joined", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            measured(folder, out)
    return sorted(out.with_name(f"{out.name}.parts").glob("*.parquet"))


def rewritten(path: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    pq.write_table(change(pq.read_table(path)), path, compression="zstd")


def _facts(table: pa.Table, **changed: object) -> pa.Table:
    facts = json.loads(table.schema.metadata[FACTS_KEY]) | changed
    return table.replace_schema_metadata({**table.schema.metadata, FACTS_KEY: json.dumps(facts).encode()})


def _column(table: pa.Table, name: str, value: object) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, pa.array([value] * table.num_rows))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-100]),
    "empty": lambda path: path.write_bytes(b""),
    "no table": lambda path: path.write_text("not Parquet"),
    "damaged inside": lambda path: path.write_bytes(
        path.read_bytes()[:4] + bytes(2000) + path.read_bytes()[2004:]
    ),
    "rows lost": lambda path: rewritten(path, lambda table: table.slice(1)),
    "rows twice": lambda path: rewritten(path, lambda table: pa.concat_tables([table, table])),
    "another animal": lambda path: rewritten(path, lambda table: _column(table, "animal", "m9")),
    "another source": lambda path: rewritten(path, lambda table: _column(table, "source", "x.nwb")),
    "words for numbers": lambda path: rewritten(path, lambda table: _column(table, "n_events", "many")),
    "a column lost": lambda path: rewritten(path, lambda table: table.drop_columns(["exposure_s"])),
    "no facts": lambda path: rewritten(path, lambda table: table.replace_schema_metadata({})),
    "facts that nest": lambda path: rewritten(
        path, lambda table: table.replace_schema_metadata({FACTS_KEY: b"[" * 100_000})
    ),
    "facts of more": lambda path: rewritten(path, lambda table: _facts(table, n_rows=10**30)),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_parts_are_never_joined(
    folder: Path, out: Path, parts: list[Path], damage: Callable[[Path], object]
) -> None:
    expected = measured(folder, None).cells
    damage(parts[0])
    try:
        result = measured(folder, out)
    except NwbswitchError:
        assert not out.exists()
        if not parts[0].is_dir():
            result = measured(folder, out)
        else:
            parts[0].rmdir()
            result = measured(folder, out)
    assert result.ok
    pd.testing.assert_frame_equal(result.cells, expected)


def test_damaged_values_are_never_read(folder: Path, out: Path) -> None:
    expected = measured(folder, out).cells
    whole = out.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    refused = 0
    for place in range(4, len(whole) - footer, 101):
        out.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            pd.testing.assert_frame_equal(read_table(out), expected, check_dtype=False)
        except InputFileError:
            refused += 1
    assert refused > 30


def test_only_what_measuring_put_there_is_removed(folder: Path, out: Path, parts: list[Path]) -> None:
    own = parts[0].parent / "thesis.docx"
    own.write_text("all of it")
    stale = parts[0].with_name(f"{'0' * 32}.parquet")
    stale.write_bytes(b"of other parameters")
    assert measured(folder, out).ok
    assert own.read_text() == "all of it"
    assert list(own.parent.iterdir()) == [own]


def test_a_folder_that_is_a_link_is_left(folder: Path, out: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.docx").write_text("all of it")
    out.with_name(f"{out.name}.parts").symlink_to(home)
    assert measured(folder, out).ok
    assert [path.name for path in home.iterdir()] == ["thesis.docx"]


def test_nothing_is_left_when_no_session_could_be_measured(tmp_path: Path, out: Path) -> None:
    (tmp_path / "a.nwb").write_text("not HDF5")
    with pytest.raises(NwbswitchError):
        measured(tmp_path / "a.nwb", out)
    assert not out.with_name(f"{out.name}.parts").exists()


def test_two_runs_do_not_share_their_parts(folder: Path, out: Path) -> None:
    with (
        locked(out.with_name(f"{out.name}.parts") / LOCK),
        pytest.raises(ExistingOutputError, match="by another run"),
    ):
        measured(folder, out)
    assert measured(folder, out).ok


RECORDS: dict[str, object] = {
    "no record": None,
    "a list": [1],
    "nesting": "[" * 100_000,
    "provenance is a word": {"provenance": "measure"},
    "issues are words": {"issues": ["a"]},
    "an unknown severity": {"issues": [{"code": "a", "severity": "fatal", "message": "b"}]},
    "counts of more": {"counts": {"blocks": 1, "more": 2}},
    "clocks are words": {"clocks": "none"},
    "unfinished is a number": {"unfinished": 5},
}


@pytest.mark.parametrize("change", RECORDS.values(), ids=RECORDS)
def test_records_that_were_changed_are_refused(folder: Path, out: Path, change: object) -> None:
    measured(folder, out)
    table, metadata = pq.read_table(out), pq.read_metadata(out).metadata
    own = json.loads(metadata[METADATA_KEY])
    record = (
        change
        if isinstance(change, str)
        else json.dumps(own | change if isinstance(change, dict) else change)
    )
    metadata = {**metadata, METADATA_KEY: record.encode()}
    pq.write_table(table.replace_schema_metadata(metadata), out)
    before = out.read_bytes()
    with pytest.raises(NwbswitchError, match="cells.parquet"):
        measured(folder, out)
    assert out.read_bytes() == before


def test_tables_that_unpack_without_end_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "cells.parquet"
    with pq.ParquetWriter(path, pa.schema([("a", pa.string()), ("b", pa.int64())])) as writer:
        piece = pa.table({"a": pa.array(["x"] * 1_000_000), "b": pa.array([1] * 1_000_000)})
        for _ in range(140):
            writer.write_table(piece)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(UnsafeFileError, match="140000000 rows"):
        read_table(path)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 100, bytes(1000)])
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cells.parquet"
    path.write_bytes(content)
    with pytest.raises(InputFileError, match="cells.parquet"):
        read_table(path)
    with pytest.raises(InputFileError, match="cells.parquet"):
        measured(small_recording(tmp_path / "a.nwb"), path)


def test_names_of_parts_depend_on_all_that_rows_depend_on(tmp_path: Path) -> None:
    from nwbswitch.analysis.sources import Source

    source = Source("a.nwb", digest="1")
    paths = {
        Parts(tmp_path, parameters, {"a.nwb": stated}).path(each)
        for parameters in ("a", "b")
        for stated in ("", "x")
        for each in (source, Source("a.nwb", digest="2"), Source("a.nwb", asset_id="1"))
    }
    assert len(paths) == 12
