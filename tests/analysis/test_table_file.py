"""Tables on disk: what is read comes back as it was, what cannot be read is named."""

from __future__ import annotations

import pandas as pd
import pytest

from nwbswitch.analysis.table_file import read_table, write_csv, write_parquet
from nwbswitch.schemas.errors import InputFileError

FRAME = pd.DataFrame({"name": ["a", "b"], "x": [0.1, 1e-12], "n": [1, 2]})


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_round_trip(tmp_path, suffix) -> None:
    path = tmp_path / f"t.{suffix}"
    (write_csv if suffix == "csv" else write_parquet)(FRAME, path)
    pd.testing.assert_frame_equal(read_table(path), FRAME)


def test_tab_separated(tmp_path) -> None:
    (tmp_path / "t.tsv").write_text("a\tb\n1\t2\n")
    assert read_table(tmp_path / "t.tsv")["b"].item() == 2


def test_order_of_categories_survives_parquet(tmp_path) -> None:
    frame = FRAME.assign(name=pd.Categorical(["a", "b"], categories=["b", "a"]))
    write_parquet(frame, tmp_path / "t.parquet")
    assert list(read_table(tmp_path / "t.parquet")["name"].cat.categories) == ["b", "a"]


@pytest.mark.parametrize("text", ["=1+1", "+x", "-x", "@x", "\tx"])
def test_text_that_a_spreadsheet_would_run_is_made_inert(tmp_path, text) -> None:
    write_csv(pd.DataFrame({"note": [text], "x": [-1.5]}), tmp_path / "t.csv")
    written = (tmp_path / "t.csv").read_text()
    assert "'" + text in written
    assert "-1.5" in written
    assert "'-1.5" not in written
    assert read_table(tmp_path / "t.csv")["note"].item() == text


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.parquet", b"not parquet at all", "PARQUET"),
        ("t.csv", b"\xff\xfe\x00\x01\x02", "CSV"),
        ("t.csv", b"", "CSV"),
        ("t.csv", b"a,b\n", "no rows"),
        ("t.xls", b"x", "kind"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, words) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputFileError, match=words) as caught:
        read_table(tmp_path / name)
    assert name in str(caught.value)


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(InputFileError, match="nowhere.csv"):
        read_table(tmp_path / "nowhere.csv")


def test_identifiers_stay_as_written(tmp_path) -> None:
    frame = pd.DataFrame({"animal": ["01", "NA", "1e3", "-7"], "x": [1.5, 2.0, 3.0, 4.0]})
    write_csv(frame, tmp_path / "t.csv")
    found = read_table(tmp_path / "t.csv", text={"animal", "not_there"})
    assert list(found["animal"]) == ["01", "NA", "1e3", "-7"]
    assert found["x"].dtype == float
