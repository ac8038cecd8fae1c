"""What neuroconv and nwbswitch expect of the interface of every stream format.

neuroconv's own test mixins run on each, and each works inside its converters.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pynwb
import pytest
from interface_cases import CASES
from jsonschema import Draft7Validator
from neuroconv import ConverterPipe, NWBConverter
from neuroconv.basedatainterface import BaseDataInterface
from neuroconv.tools.testing.data_interface_mixins import DataInterfaceTestMixin, TemporalAlignmentMixin
from neuroconv.utils import DeepDict
from pynwb import NWBHDF5IO
from pynwb.event import EventsTable

from nwbswitch.converters.clocks.clock_map import ClockMap
from nwbswitch.converters.drug_log import DrugLogInterface
from nwbswitch.converters.epochs import EpochsInterface
from nwbswitch.converters.imaging.tiff_movie import TiffMovieInterface
from nwbswitch.converters.registry import READERS, Kind
from nwbswitch.converters.segmentation.suite2p import Suite2pInterface
from nwbswitch.converters.timed_interface import TimedInterface
from nwbswitch.schemas.stream_base import StreamBase
from nwbswitch.schemas.streams import FOLDER_FORMATS, FORMATS

NEVER_ARGUMENTS = {"format", "path", "clock", "imaging", "timing_of"}

Open = Callable[[], BaseDataInterface]


def started(metadata: DeepDict) -> DeepDict:
    metadata["NWBFile"]["session_start_time"] = datetime(2024, 5, 1, 10, tzinfo=UTC)
    return metadata


def close(interface: BaseDataInterface) -> None:
    if hasattr(interface, "close"):
        interface.close()


class _NeuroconvMixins(DataInterfaceTestMixin, TemporalAlignmentMixin):  # type: ignore[misc]
    def check_read_nwb(self, nwbfile_path: str) -> None:
        nwbfile = pynwb.read_nwb(nwbfile_path)
        assert nwbfile.acquisition or nwbfile.processing or nwbfile.intervals or nwbfile.events
        nwbfile.get_read_io().close()


class _Untimed(DataInterfaceTestMixin):  # type: ignore[misc]
    check_read_nwb = _NeuroconvMixins.check_read_nwb


def _mixin_test(form: str) -> type:
    kind = READERS[form].load()
    mixin = _NeuroconvMixins if issubclass(kind, TimedInterface) else _Untimed

    @pytest.fixture(autouse=True)
    def source(self: Any, tmp_path: Path) -> None:
        folder = tmp_path / "source"
        folder.mkdir()
        type(self).interface_kwargs = CASES[form](folder)

    return type(f"Test_{form}", (mixin,), {"data_interface_cls": kind, "source": source})


globals().update({f"Test_{form}": _mixin_test(form) for form in READERS})


@pytest.fixture(params=list(READERS))
def form(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def source(form: str, tmp_path: Path) -> dict[str, Any]:
    folder = tmp_path / "source"
    folder.mkdir()
    return CASES[form](folder)


def test_every_format_has_a_model_an_interface_and_a_case() -> None:
    assert set(READERS) == set(FORMATS) == set(CASES)
    for form, model in FORMATS.items():
        assert issubclass(model, StreamBase)
        assert model.model_fields["format"].annotation.__args__ == (form,)


def test_arguments_are_the_keys_of_the_study_file(form: str) -> None:
    schema = READERS[form].load().get_source_schema()
    path = "folder_path" if form in FOLDER_FORMATS else "file_path"
    fields = FORMATS[form].model_fields
    keys = set(fields) - NEVER_ARGUMENTS - {"frame_times", "cell_types", "tracking"}
    wanted = keys | {path, "metadata_key"}
    if READERS[form].kind is Kind.ROIS:
        wanted |= {"cell_type", "depth_um"}
    assert set(schema["properties"]) == wanted
    assert schema["additionalProperties"] is False
    assert all("description" in each for each in schema["properties"].values())
    for key in keys - {"rate_hz"}:
        default = fields[key].get_default()
        if not fields[key].is_required() and default is not None:
            given = schema["properties"][key]["default"]
            assert given == json.loads(json.dumps(default)), key


def test_source_fits_the_schema(form: str, source: dict[str, Any]) -> None:
    Draft7Validator(READERS[form].load().get_source_schema()).validate(source)


def test_the_only_option_is_stub(form: str, source: dict[str, Any]) -> None:
    interface = READERS[form].load()(**source)
    schema = interface.get_conversion_options_schema()
    assert set(schema["properties"]) == {"stub"}
    assert not schema.get("required")
    assert all((interface.display_name, interface.info, interface.keywords))
    close(interface)


def test_metadata_hold_no_folder_of_this_machine(form: str, source: dict[str, Any], tmp_path: Path) -> None:
    interface = READERS[form].load()(**source)
    assert str(tmp_path) not in json.dumps(interface.get_metadata().to_dict(), default=str)
    close(interface)


def test_a_stub_is_short_and_valid(form: str, source: dict[str, Any], tmp_path: Path) -> None:
    interface = READERS[form].load()(**source)
    path = tmp_path / "stub.nwb"
    interface.run_conversion(nwbfile_path=path, metadata=started(interface.get_metadata()), stub=True)
    close(interface)
    assert pynwb.validate(path=path) == []
    with NWBHDF5IO(path, "r") as io:
        for each in io.read().objects.values():
            if isinstance(each, pynwb.TimeSeries) and each.data is not None:
                assert len(each.data) <= 100


def test_a_clock_moves_every_time(form: str, source: dict[str, Any], tmp_path: Path) -> None:
    interface = READERS[form].load()(**source)
    if not isinstance(interface, TimedInterface):
        return close(interface)
    own = interface.get_original_timestamps()
    interface.align(ClockMap(100.0, 1e-3))
    np.testing.assert_allclose(interface.get_timestamps(), 100 + own * 1.001, rtol=1e-12)
    path = tmp_path / "aligned.nwb"
    interface.run_conversion(nwbfile_path=path, metadata=started(interface.get_metadata()))
    close(interface)
    aligned = 100 + own * 1.001
    with NWBHDF5IO(path, "r") as io:
        spans = [span for each in io.read().objects.values() for span in written_spans(each)]
    assert any(span == pytest.approx((aligned[0], aligned[-1]), abs=1e-6) for span in spans)
    assert all(first >= aligned[0] - 1e-6 for first, _ in spans)


def written_spans(each: Any) -> list[tuple[float, float]]:
    """Return first and last time that a series, a table of intervals or of events has in its file."""
    if isinstance(each, pynwb.TimeSeries) and each.rate:
        return [(each.starting_time, each.starting_time + (each.num_samples - 1) / each.rate)]
    if isinstance(each, pynwb.TimeSeries):
        return [(each.timestamps[0], each.timestamps[-1])]
    if isinstance(each, pynwb.epoch.TimeIntervals):
        return [(each["start_time"][0], each["start_time"][-1])]
    if isinstance(each, EventsTable):
        return [(each["timestamp"][0], each["timestamp"][-1])]
    return []


def test_runs_inside_a_converter_and_a_pipe(form: str, source: dict[str, Any], tmp_path: Path) -> None:
    class Rig(NWBConverter):  # type: ignore[misc]
        data_interface_classes = {"it": READERS[form].load(), "drugs": DrugLogInterface}  # noqa: RUF012

    drugs = {
        "administrations": [{"timestamp_s": 3.0, "substance": "ketamine", "dose": 10, "dose_unit": "mg/kg"}]
    }
    rig = Rig(source_data={"it": source, "drugs": drugs})
    rig.run_conversion(nwbfile_path=tmp_path / "c.nwb", metadata=started(rig.get_metadata()))
    close(rig.data_interface_objects["it"])
    epochs = EpochsInterface(epochs=[{"window": "baseline", "start_s": 0.0, "stop_s": 20.0}])
    it = READERS[form].load()(**source)
    pipe = ConverterPipe(data_interfaces={"it": it, "drugs": DrugLogInterface(**drugs), "epochs": epochs})
    pipe.run_conversion(nwbfile_path=tmp_path / "p.nwb", metadata=started(pipe.get_metadata()))
    close(it)
    for name in ("c.nwb", "p.nwb"):
        assert pynwb.validate(path=tmp_path / name) == []
        with h5py.File(tmp_path / name) as file:
            assert file["general/pharmacology"][()].startswith(b"Ketamine")


def test_changed_metadata_reach_the_file(raw: Path, tmp_path: Path) -> None:
    interfaces = {
        "movie": TiffMovieInterface(file_path=raw / "movie.tif", rate_hz=5.0),
        "traces": Suite2pInterface(folder_path=raw / "suite2p"),
    }
    pipe = ConverterPipe(data_interfaces=interfaces)
    metadata = started(pipe.get_metadata())
    metadata["Ophys"]["ImagingPlanes"]["imaging_plane"]["indicator"] = "GCaMP8m"
    metadata["Ophys"]["MicroscopySeries"]["movie"]["name"] = "Movie"
    metadata["Devices"]["microscope"]["name"] = "Scope"
    pipe.run_conversion(
        nwbfile_path=tmp_path / "p.nwb", metadata=metadata, conversion_options={"movie": {"stub": True}}
    )
    interfaces["movie"].close()
    with h5py.File(tmp_path / "p.nwb") as file:
        assert file["acquisition/Movie/data"].shape == (100, 9, 6)
        assert file["general/optophysiology/ImagingPlane/indicator"][()] == b"GCaMP8m"
        assert list(file["general/devices"]) == ["Scope"]
        assert list(file["general/optophysiology"]) == ["ImagingPlane"]


def test_runs_beside_an_interface_of_neuroconv(raw: Path, tmp_path: Path) -> None:
    from neuroconv.datainterfaces import TiffImagingInterface

    theirs = TiffImagingInterface(file_paths=[raw / "movie.tif"], sampling_frequency=5.0)
    ours = Suite2pInterface(folder_path=raw / "suite2p")
    pipe = ConverterPipe(data_interfaces={"theirs": theirs, "ours": ours})
    pipe.run_conversion(nwbfile_path=tmp_path / "b.nwb", metadata=started(pipe.get_metadata()))
    assert pynwb.validate(path=tmp_path / "b.nwb") == []
