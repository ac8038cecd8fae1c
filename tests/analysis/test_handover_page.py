"""The examples of the page on hand-over run as they stand, on a recording that was converted."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nwbswitch.converters.convert import convert
from nwbswitch.converters.simulate import simulate_study

PAGE = Path(__file__).resolve().parents[2] / "docs/handover.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("study")
    study = simulate_study(made, animals=1, neurons=6, movies=0, seed=1)
    assert convert(study, made / "nwb", sessions=["day8"]).ok
    return made


def test_the_examples_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pynapple")
    pytest.importorskip("xarray")
    monkeypatch.chdir(folder)
    said: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), said)
    traces, plane, tables = said["traces"], said["plane"], said["tables"]
    assert traces.shape[1] == 6
    assert said["session"].drugs.metadata["substance"].tolist() == ["ketamine"]
    assert said["session"].left_out == ()
    np.testing.assert_array_equal(plane.traces, traces.values[: plane.sizes["time"]])
    np.testing.assert_array_equal(tables.traces["PlaneSegmentation"], traces.values)
    assert (folder / "plane.nc").is_file()
    assert tables.administrations["substance"].tolist() == ["ketamine"]
    assert {"baseline", "drug"} <= set(tables.windows["window"])
