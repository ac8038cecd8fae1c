"""Coded arms: what is coded, what is gone, and that the key leads back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.runs.blinding import BlindKey, blinded_cells, blinded_sessions, new_key
from nwbswitch.analysis.runs.blinding_key import kept_key, read_key
from nwbswitch.schemas.errors import InputFileError


@pytest.fixture
def cells() -> pd.DataFrame:
    rows = [
        (animal, f"{arm}-day", arm, order)
        for animal, arms in (("m1", ("ketamine", "saline")), ("m2", ("saline", "ketamine")))
        for order, arm in enumerate(arms, start=1)
    ]
    table = pd.DataFrame(rows, columns=["animal", "session", "arm", "order"])
    return table.assign(source=table["session"] + ".nwb", source_digest="d", n_events=np.arange(4))


def test_nothing_tells_the_arm(cells: pd.DataFrame) -> None:
    before = cells.copy()
    coded = blinded_cells(cells, new_key(cells))
    text = coded.to_csv()
    assert "ketamine" not in text
    assert "saline" not in text
    assert set(coded["arm"]) == {"arm A", "arm B"}
    pd.testing.assert_frame_equal(cells, before)


def test_the_key_leads_back(cells: pd.DataFrame) -> None:
    key = new_key(cells)
    coded = blinded_cells(cells, key)
    assert [key.arms[code] for code in coded["arm"]] == cells["arm"].tolist()
    named = zip(coded["animal"], coded["session"], strict=True)
    assert [key.sessions[f"{animal}/{name}"] for animal, name in named] == cells["session"].tolist()


def test_sessions_are_numbered_in_their_order(cells: pd.DataFrame) -> None:
    coded = blinded_cells(cells, new_key(cells))
    assert coded["session"].tolist() == ["session 1", "session 2", "session 1", "session 2"]


def test_the_order_of_codes_is_drawn() -> None:
    table = pd.DataFrame({"animal": "m", "session": list("abcdef"), "arm": list("abcdef"), "order": range(6)})
    drawn = {tuple(new_key(table).arms.values()) for _ in range(50)}
    assert len(drawn) > 10
    assert new_key(table, shuffled=[5, 4, 3, 2, 1, 0]).arms["arm F"] == "a"


def test_drug_logs_leave_the_sessions_table(cells: pd.DataFrame) -> None:
    sessions = cells.assign(administrations='[{"substance": "ketamine"}]', exclusion="", asset_id="a")
    coded = blinded_sessions(sessions, new_key(cells))
    assert set(coded["administrations"]) == {"[]"}
    assert "ketamine" not in coded.to_csv()


def test_the_key_is_kept_for_its_owner_and_used_again(cells: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "study.key.json"
    key = kept_key(path, cells)
    assert kept_key(path, cells) == key == read_key(path)
    assert path.stat().st_mode & 0o077 == 0


def test_the_key_of_other_recordings_is_refused(cells: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "study.key.json"
    kept_key(path, cells)
    with pytest.raises(InputFileError, match="key of other recordings"):
        kept_key(path, cells.assign(arm="psilocybin"))


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"arms": {"a": 1}, "sessions": {}}', '{"arms": [], "sessions": 1}']
)
def test_a_damaged_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputFileError, match="no key of blinded results"):
        read_key(path)


def test_a_key_is_a_value() -> None:
    assert BlindKey({"arm A": "x"}, {}).as_dict() == {"arms": {"arm A": "x"}, "sessions": {}}
