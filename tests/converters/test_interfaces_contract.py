"""What neuroconv expects of every interface: schemas, untouched metadata, and work inside its converters."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import h5py
import pynwb
import pytest
from jsonschema import Draft7Validator
from neuroconv import ConverterPipe, NWBConverter
from neuroconv.basedatainterface import BaseDataInterface
from neuroconv.utils import DeepDict

from nwbswitch.converters.drug_log import DrugLogInterface
from nwbswitch.converters.epochs import EpochsInterface
from nwbswitch.converters.registry import INTERFACES
from nwbswitch.converters.segmentation.suite2p import Suite2pInterface
from nwbswitch.converters.imaging.tiff_movie import TiffMovieInterface
from nwbswitch.converters.behavior.wheel_csv import WheelCsvInterface
from nwbswitch.schemas.study import Suite2pFolder, TiffMovie, WheelCsv

CLASSES: dict[str, type[BaseDataInterface]] = {
    "movie": TiffMovieInterface,
    "traces": Suite2pInterface,
    "wheel": WheelCsvInterface,
    "drugs": DrugLogInterface,
    "epochs": EpochsInterface,
}


def sources(raw: Path) -> dict[str, dict[str, Any]]:
    """Return the source data of every interface over the files of `write_raw`."""
    return {
        "movie": {"file_path": str(raw / "movie.tif"), "rate_hz": 5.0},
        "traces": {"folder_path": str(raw / "suite2p"), "roi_basis": "anatomical"},
        "wheel": {
            "file_path": str(raw / "wheel.csv"),
            "signals": [{"column": "speed", "unit": "cm/s"}],
            "time_column": "time_s",
            "start_s": -4.0,
        },
        "drugs": {
            "administrations": [
                {"timestamp_s": 30.0, "substance": "ketamine", "dose": 10, "dose_unit": "mg/kg"}
            ]
        },
        "epochs": {"epochs": [{"window": "baseline", "start_s": 0.0, "stop_s": 20.0}]},
    }


@pytest.fixture(params=list(CLASSES))
def interface(request: pytest.FixtureRequest, raw: Path) -> Iterator[BaseDataInterface]:
    made = CLASSES[request.param](**sources(raw)[request.param])
    yield made
    if hasattr(made, "close"):
        made.close()


def started(metadata: DeepDict) -> DeepDict:
    metadata["NWBFile"]["session_start_time"] = datetime(2024, 5, 1, 10, tzinfo=UTC)
    return metadata


def plain(metadata: Any) -> str:
    """Return metadata as text; NaN is not equal to itself."""
    return json.dumps(metadata, default=str, sort_keys=True)


def test_source_schema_describes_the_arguments(interface: BaseDataInterface, raw: Path) -> None:
    schema = type(interface).get_source_schema()
    Draft7Validator.check_schema(schema)
    name = next(key for key, kind in CLASSES.items() if kind is type(interface))
    given = sources(raw)[name]
    Draft7Validator(schema).validate(given)
    assert set(given) <= set(schema["properties"])
    assert all("description" in each for each in schema["properties"].values())
    assert schema["additionalProperties"] is False


def test_options_schema_describes_the_options(interface: BaseDataInterface) -> None:
    schema = interface.get_conversion_options_schema()
    Draft7Validator.check_schema(schema)
    assert set(schema["properties"]) <= {"stub"}
    assert not schema.get("required")


def test_own_metadata_fits_own_schema(interface: BaseDataInterface) -> None:
    Draft7Validator.check_schema(interface.get_metadata_schema())
    metadata = started(interface.get_metadata())
    interface.validate_metadata(metadata)
    assert json.dumps(metadata.to_dict(), default=str)


def test_metadata_are_not_changed(interface: BaseDataInterface) -> None:
    metadata = started(interface.get_metadata())
    assert all(isinstance(each, DeepDict) for each in metadata.values())
    before = copy.deepcopy(metadata)
    interface.create_nwbfile(metadata=metadata)
    assert plain(metadata) == plain(before)
    assert plain(interface.get_metadata().get("Ophys")) == plain(before.get("Ophys"))


def test_adds_twice_the_same(interface: BaseDataInterface) -> None:
    one = interface.create_nwbfile(metadata=started(interface.get_metadata()))
    two = interface.create_nwbfile(metadata=started(interface.get_metadata()))
    assert sorted(each.name for each in one.objects.values()) == sorted(
        each.name for each in two.objects.values()
    )
    assert len(one.objects) > 1


def test_writes_alone_and_validates(interface: BaseDataInterface, tmp_path: Path) -> None:
    interface.run_conversion(nwbfile_path=tmp_path / "i.nwb", metadata=started(interface.get_metadata()))
    assert pynwb.validate(path=tmp_path / "i.nwb") == []


def test_runs_inside_a_pipe_with_changed_metadata(raw: Path, tmp_path: Path) -> None:
    given = sources(raw)
    interfaces = {name: CLASSES[name](**given[name]) for name in ("movie", "traces", "wheel", "drugs")}
    pipe = ConverterPipe(data_interfaces=interfaces)
    metadata = started(pipe.get_metadata())
    metadata["Ophys"]["ImagingPlanes"]["imaging_plane"]["indicator"] = "GCaMP8m"
    metadata["Ophys"]["MicroscopySeries"]["movie"]["name"] = "Movie"
    metadata["Devices"]["microscope"]["name"] = "Scope"
    pipe.run_conversion(
        nwbfile_path=tmp_path / "p.nwb", metadata=metadata, conversion_options={"movie": {"stub": True}}
    )
    interfaces["movie"].close()
    assert pynwb.validate(path=tmp_path / "p.nwb") == []
    with h5py.File(tmp_path / "p.nwb") as file:
        assert file["acquisition/Movie/data"].shape == (100, 9, 6)
        assert file["general/optophysiology/ImagingPlane/indicator"][()] == b"GCaMP8m"
        assert list(file["general/devices"]) == ["Scope"]
        assert list(file["general/optophysiology"]) == ["ImagingPlane"]
        assert file["general/pharmacology"][()].startswith(b"Ketamine")
        assert "ketamine" in [each.decode() for each in file["general/keywords"][:]]


def test_runs_inside_a_converter_class(raw: Path, tmp_path: Path) -> None:
    class Rig(NWBConverter):  # type: ignore[misc]
        data_interface_classes = CLASSES

    rig = Rig(source_data=sources(raw))
    rig.run_conversion(nwbfile_path=tmp_path / "c.nwb", metadata=started(rig.get_metadata()))
    rig.data_interface_objects["movie"].close()
    assert pynwb.validate(path=tmp_path / "c.nwb") == []


def test_runs_beside_an_interface_of_neuroconv(raw: Path, tmp_path: Path) -> None:
    from neuroconv.datainterfaces import TiffImagingInterface

    theirs = TiffImagingInterface(file_paths=[raw / "movie.tif"], sampling_frequency=5.0)
    ours = Suite2pInterface(folder_path=raw / "suite2p")
    pipe = ConverterPipe(data_interfaces={"theirs": theirs, "ours": ours})
    pipe.run_conversion(nwbfile_path=tmp_path / "b.nwb", metadata=started(pipe.get_metadata()))
    assert pynwb.validate(path=tmp_path / "b.nwb") == []


def test_the_registry_covers_every_stream_format() -> None:
    kinds = (TiffMovie, Suite2pFolder, WheelCsv)
    formats = {kind.model_fields["format"].annotation.__args__[0] for kind in kinds}
    assert set(INTERFACES) == formats
