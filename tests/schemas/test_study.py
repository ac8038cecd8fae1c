"""The resolved study: what its models accept and refuse."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from nwbswitch.schemas.stream_base import Imaging
from nwbswitch.schemas.streams_suite2p import Suite2pFolder
from nwbswitch.schemas.streams_tiff import TiffMovie
from nwbswitch.schemas.study import Session, Study, Subject

SUBJECT: dict[str, Any] = {"subject_id": "m01", "species": "Mus musculus", "sex": "F"}


@pytest.mark.parametrize(
    "age", ["P90D", "P12W", "P3M", "P1Y2M", "PT12H", "P1DT12H", "P0.5D", "P80D/P100D", "P0D/", None]
)
def test_ages_are_iso_8601(age: str | None) -> None:
    assert Subject(**SUBJECT, age=age).age == age


@pytest.mark.parametrize("age", ["", "90", "P", "PT", "P90", "90D", "p90d", "P90D/100D", "P1D P2D", "P90D\n"])
def test_other_ages_are_refused(age: str) -> None:
    with pytest.raises(ValidationError, match="ISO 8601"):
        Subject(**SUBJECT, age=age)


@pytest.mark.parametrize(
    "species",
    ["Mus musculus", "Mus musculus domesticus", "http://purl.obolibrary.org/obo/NCBITaxon_10090"],
)
def test_species_are_latin_or_ncbi(species: str) -> None:
    assert Subject(**{**SUBJECT, "species": species}).species == species


@pytest.mark.parametrize("species", ["mouse", "Mouse", "mus musculus", "Mus Musculus", "", "Mus musculus\n"])
def test_other_species_are_refused(species: str) -> None:
    with pytest.raises(ValidationError, match="Latin binomial"):
        Subject(**{**SUBJECT, "species": species})


@pytest.mark.parametrize("name", ["m/1", "m 1", "m_1", ""])
def test_identifiers_fit_into_file_names(name: str) -> None:
    with pytest.raises(ValidationError):
        Subject(**{**SUBJECT, "subject_id": name})
    with pytest.raises(ValidationError):
        Session(session_id=name, subject=Subject(**SUBJECT), start_time=datetime.now(UTC), description="x")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_are_finite(value: float) -> None:
    with pytest.raises(ValidationError):
        Imaging(indicator="GCaMP6s", excitation_lambda_nm=value, emission_lambda_nm=510, region="RSPd")
    with pytest.raises(ValidationError):
        TiffMovie(format="tiff_movie", path="a.tif", rate_hz=value)


def test_the_format_chooses_the_stream() -> None:
    session = Session(
        session_id="a",
        subject=Subject(**SUBJECT),
        start_time=datetime(2026, 3, 1, tzinfo=UTC),
        description="x",
        streams={"cells": {"format": "suite2p", "path": "s"}},
    )
    assert isinstance(session.streams["cells"], Suite2pFolder)
    study = Study(name="a", title="b", sessions=(session,))
    assert Study.model_validate_json(study.model_dump_json()) == study


def test_a_study_has_sessions_and_a_short_name() -> None:
    with pytest.raises(ValidationError) as raised:
        Study(name="-a b", title="b", sessions=())
    assert {each["loc"] for each in raised.value.errors()} == {("name",), ("sessions",)}
