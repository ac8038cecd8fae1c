"""Planes as xarray Datasets, in memory and in netCDF."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from recorded import KETAMINE, ROWS, SALINE, WINDOWS, Recorded, neurons, recorded, stamps_s, stored

from nwbswitch.analysis.handover.drug_rows import drug_log_of
from nwbswitch.analysis.handover.xarray_dataset import to_xarray
from nwbswitch.schemas.errors import MissingExtraError

xr = pytest.importorskip("xarray")

ENGINES = {"scipy": "scipy", "netcdf4": "netCDF4"}


@pytest.fixture
def recording(tmp_path: Path) -> Iterator[Recorded]:
    with recorded(tmp_path / "a.nwb") as recording:
        yield recording


def test_samples_have_times_and_neurons(recording: Recorded) -> None:
    upper, lower = (to_xarray(recording, plane=name) for name in ("Upper", "Lower"))
    assert upper.traces.dims == ("time", "neuron")
    np.testing.assert_array_equal(upper.traces, stored()["Upper"]["traces"] / 2 + 100)
    np.testing.assert_array_equal(upper.neuropil, stored()["Upper"]["neuropil"] / 2 + 100)
    assert lower.traces.dtype == np.float32
    np.testing.assert_allclose(lower.time, stamps_s(), rtol=0, atol=1e-12)
    assert upper.traces.attrs == {
        "units": "a.u.",
        "kind": "raw",
        "object_path": "/processing/ophys/Fluorescence/tracesUpper/data",
    }
    assert lower.attrs["plane"] == "Lower"
    assert upper.attrs["subject_id"] == "m1"
    assert upper.attrs["simulated"] == "yes"
    assert (upper.attrs["source"], upper.attrs["asset_id"]) == ("dandi:000001@0.1/a.nwb", "a-b")


def test_facts_follow_their_neurons(recording: Recorded) -> None:
    upper = to_xarray(
        recording, plane="Upper", rois=[4, 3, 0], start_s=10.0, stop_s=30.0, matrices=["traces"]
    )
    assert set(upper.data_vars) & {"traces", "neuropil"} == {"traces"}
    facts = neurons(5)
    visp = upper.where(upper.region == "VISp", drop=True)
    assert visp.neuron.values.tolist() == [3]
    assert visp.depth_um.values.tolist() == [facts.depth_um[3]]
    rows = slice(38, 138)
    np.testing.assert_array_equal(visp.traces[:, 0], stored()["Upper"]["traces"][rows, 0] / 2 + 100)
    np.testing.assert_array_equal(
        upper.traces.sel(neuron=4), stored()["Upper"]["traces"][rows, ROWS["Upper"].index(4)] / 2 + 100
    )


def test_windows_and_drugs_are_variables(recording: Recorded) -> None:
    found = to_xarray(recording, plane="Upper")
    assert found.window.values.tolist() == [each.window.value for each in WINDOWS]
    drug = found.sel(window="drug")
    part = found.traces.sel(time=slice(float(drug.window_start_s), float(drug.window_stop_s)))
    assert part.sizes["time"] == 150
    assert found.drug_substance.values.tolist() == ["saline", "ketamine"]
    assert found.drug_dose.values.tolist()[1] == 10.0
    assert found.drug_timestamp.attrs == {"units": "s"}
    assert drug_log_of(found.attrs["drug_log"]) == (SALINE, KETAMINE)


@pytest.mark.parametrize("engine", list(ENGINES))
def test_netcdf_gives_it_back(recording: Recorded, tmp_path: Path, engine: str) -> None:
    if find_spec(ENGINES[engine]) is None:
        pytest.skip(f"{ENGINES[engine]} is not installed")
    for name in ("Upper", "Lower"):
        found = to_xarray(recording, plane=name)
        path = tmp_path / f"{name}-{engine}.nc"
        found.to_netcdf(path, engine=engine)
        with xr.open_dataset(path, engine=engine) as again:
            again.load()
            xr.testing.assert_equal(again, found)
            assert again.time.attrs == found.time.attrs
            assert again.accepted.dtype == bool
            assert drug_log_of(again.attrs["drug_log"]) == (SALINE, KETAMINE)


def test_a_file_without_windows_and_drugs_can_be_written(recording: Recorded, tmp_path: Path) -> None:
    outline = replace(recording.outline, windows=(), administrations=())
    found = to_xarray(replace(recording, outline=outline), plane="Lower")
    assert set(found.dims) == {"time", "neuron"}
    found.to_netcdf(tmp_path / "a.nc", engine="scipy")
    assert drug_log_of(found.attrs["drug_log"]) == ()


def test_the_plane_has_to_be_clear(recording: Recorded) -> None:
    with pytest.raises(ValueError, match="several planes: expected one of Upper, Lower"):
        to_xarray(recording)
    with pytest.raises(ValueError, match="no plane 'units'"):
        to_xarray(recording, plane="units")
    one = replace(recording, outline=replace(recording.outline, planes=recording.outline.planes[:1]))
    assert to_xarray(one).attrs["plane"] == "Upper"
    assert one.outline.planes[0].deconvolved is None
    with pytest.raises(ValueError, match="Upper has no deconvolved"):
        to_xarray(one, matrices=["deconvolved"])
    with pytest.raises(ValueError, match="no frames in the span"):
        to_xarray(one, start_s=900.0)
    none = replace(recording, outline=replace(recording.outline, planes=()))
    with pytest.raises(ValueError, match="no plane; units are handed over"):
        to_xarray(none)


def test_a_missing_package_is_named(recording: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(MissingExtraError, match=r"nwbswitch\[handover\]"):
        to_xarray(recording, plane="Upper")
