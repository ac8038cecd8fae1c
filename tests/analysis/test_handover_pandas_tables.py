"""Recordings as pandas tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from recorded import KETAMINE, ROWS, SALINE, WINDOWS, Recorded, recorded, stamps_s, stored

from nwbswitch.analysis.handover.drug_rows import administrations_of
from nwbswitch.analysis.handover.pandas_tables import to_pandas


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recorded]:
    with recorded(tmp_path / "a.nwb") as recording:
        yield recording


def test_wide_traces_have_times_and_rows(recording: Recorded) -> None:
    tables = to_pandas(recording)
    upper = tables.traces["Upper"]
    assert upper.index.name == "time_s"
    assert upper.columns.name == "neuron"
    assert upper.columns.tolist() == ROWS["Upper"]
    np.testing.assert_array_equal(upper[4], stored()["Upper"]["traces"][:, 2] / 2 + 100)
    assert tables.traces["Lower"].dtypes.tolist() == [np.dtype(np.float32)] * 3
    np.testing.assert_allclose(tables.traces["Lower"].index, stamps_s(), rtol=0, atol=1e-12)
    assert list(tables.neuropil) == ["Upper"]
    assert list(tables.deconvolved) == ["Lower"]
    assert tables.left_out == ()


def test_long_traces_hold_the_same(recording: Recorded) -> None:
    wide, long = (to_pandas(recording, form=form) for form in ("wide", "long"))
    for name, table in long.traces.items():
        assert table.dtypes.tolist()[:2] == [np.dtype(np.int64), np.dtype(np.float64)]
        again = table.pivot(index="time_s", columns="neuron", values="value")
        pd.testing.assert_frame_equal(again, wide.traces[name].sort_index(axis="columns"))


def test_facts_of_neurons_follow_a_selection(recording: Recorded) -> None:
    tables = to_pandas(recording, names=["Upper"], rois=[4, 0], start_s=10.0, stop_s=11.0)
    facts = tables.neurons["Upper"]
    assert facts.index.tolist() == [4, 0] == tables.traces["Upper"].columns.tolist()
    assert facts["tracking_id"].tolist() == ["m1-4", ""]
    assert facts["depth_um"].tolist() == [104.0, 100.0]
    assert facts["accepted"].dtype == bool
    assert pd.api.types.is_string_dtype(facts["cell_type"])
    assert len(tables.traces["Upper"]) == 5


def test_times_windows_and_evidence(recording: Recorded) -> None:
    tables = to_pandas(recording, start_s=5.0, stop_s=50.0)
    assert tables.times["units"].to_numpy().tolist() == [[0.0, 7.5], [0.0, 7.5], [0.0, 40.0]]
    assert tables.windows["window"].tolist() == [each.window.value for each in WINDOWS]
    assert tables.windows["stop_s"].tolist() == [each.stop_s for each in WINDOWS]
    assert tables.evidence.loc[0, ["administration", "field", "confidence"]].tolist() == [1, "dose", "stated"]


def test_the_drug_log_comes_back(recording: Recorded) -> None:
    table = to_pandas(recording).administrations
    assert table.loc[1, ["substance", "dose", "dose_unit", "route"]].tolist() == [
        "ketamine",
        10.0,
        "mg/kg",
        "i.p.",
    ]
    assert table["dose"].dtype == np.float64
    assert pd.api.types.is_string_dtype(table["salt"])
    assert administrations_of(table.to_dict("records")) == (SALINE, KETAMINE)


def test_a_recording_without_anything_gives_empty_tables(recording: Recorded) -> None:
    outline = replace(recording.outline, planes=(), points=(), windows=(), administrations=(), evidence=())
    tables = to_pandas(replace(recording, outline=outline))
    assert not tables.traces
    assert not tables.times
    for table in (tables.windows, tables.administrations, tables.evidence):
        assert table.empty
    assert tables.windows.columns.tolist() == ["window", "start_s", "stop_s"]
    assert administrations_of(tables.administrations.to_dict("records")) == ()


def test_other_forms_are_refused(recording: Recorded) -> None:
    with pytest.raises(ValueError, match="'wide' or 'long'"):
        to_pandas(recording, form="tall")  # type: ignore[arg-type]
