"""Small studies with a known content, and the real treadmill recording as a study."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pynwb import NWBFile
from small_study import small_session, study_of, write_raw

from nwbswitch.converters.session import make_nwbfile
from nwbswitch.converters.session_streams import Part, add_parts, close_parts, open_parts
from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.epochs import Epoch
from nwbswitch.schemas.stream_base import Imaging
from nwbswitch.schemas.streams_suite2p import Suite2pFolder
from nwbswitch.schemas.streams_tiff import TiffMovie
from nwbswitch.schemas.streams_wheel import Signal, WheelCsv
from nwbswitch.schemas.study import Session, Study, Subject


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Folder with the raw files of one session."""
    write_raw(tmp_path / "raw")
    return tmp_path / "raw"


@pytest.fixture
def session_of() -> Callable[..., Session]:
    """`small_session`."""
    return small_session


@pytest.fixture
def make_study() -> Callable[..., Study]:
    """`study_of`."""
    return study_of


@pytest.fixture
def make_raw() -> Callable[..., None]:
    """`write_raw`."""
    return write_raw


@pytest.fixture(scope="session")
def treadmill(shared: Path) -> Study:
    """The real recording: what its source does not state is a placeholder."""
    folder = shared / "data/two_photon_mouse_treadmill"
    session = Session(
        session_id="treadmill",
        subject=Subject(subject_id="mouse1", species="Mus musculus", sex="U", age="P90D"),
        start_time=datetime(2014, 1, 1, 12, tzinfo=UTC),
        description="Tactile navigation on a treadmill.",
        imaging=Imaging(
            indicator="GCaMP6f", excitation_lambda_nm=920, emission_lambda_nm=510, region="SSp-bfd"
        ),
        streams={
            "movie": TiffMovie(format="tiff_movie", path=folder / "movie.tif", rate_hz=7.0),
            "traces": Suite2pFolder(format="suite2p", path=folder / "suite2p"),
            "treadmill": WheelCsv(
                format="wheel_csv",
                path=folder / "covariates.csv",
                signals=(
                    Signal(column="runningSpeed", unit="n/a"),
                    Signal(column="corridorPosition", quantity="position", unit="n/a"),
                ),
            ),
        },
        drug_log=(
            Administration(
                timestamp_s=35.0,
                substance="saline",
                control_kind="pseudo",
                stereochemistry="achiral",
                missing={"dose": "not applicable", "route": "not applicable"},
            ),
        ),
        epochs=(
            Epoch(window="baseline", start_s=0, stop_s=35),
            Epoch(window="drug", start_s=36, stop_s=71),
        ),
        placeholders=("subject.age", "subject.sex", "start_time", "imaging.indicator", "drug_log"),
    )
    return Study(name="treadmill", title="Tactile navigation", sessions=(session,))


@pytest.fixture
def build() -> Iterator[Callable[..., NWBFile]]:
    """A function that returns the first session of a study in memory; its files are closed at the end."""
    opened: list[Part] = []

    def build_(study: Study, *, stub: bool = False) -> NWBFile:
        session = study.sessions[0]
        nwbfile = make_nwbfile(study, session, stub=stub)
        opened.extend(open_parts(session))
        add_parts(nwbfile, session, opened, stub=stub)
        return nwbfile

    yield build_
    close_parts(opened)


@pytest.fixture
def few_handles() -> Iterator[None]:
    """Let the process open only a hundred files more than it has open already."""
    resource = pytest.importorskip("resource", reason="limits are those of POSIX")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors = Path("/proc/self/fd")
    # The highest number counts, not how many there are.
    last = max((int(each.name) for each in descriptors.iterdir()), default=0) if descriptors.is_dir() else 160
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(last + 100, soft), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
