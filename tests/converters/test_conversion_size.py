"""Sizes told before anything is written, and disks that are too small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from small_study import small_session, study_of

from nwbswitch.cli import commands
from nwbswitch.converters import convert as convert_module
from nwbswitch.converters.conversion_size import Space
from nwbswitch.converters.convert import convert
from nwbswitch.converters.simulate import simulate_study
from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.study import Study


def _movie(kind: str) -> np.ndarray:
    """Return 64 MB that compress evenly, better and better, or in one part only."""
    rng = np.random.default_rng(0)
    shape = (1000, 160, 200)
    noise = rng.integers(0, 1000, shape)
    if kind == "drift":
        noise = noise // (1 + np.arange(1000)[:, None, None] // 40)
    if kind == "half dark":
        noise[500:] = 0
    return noise.astype(np.int16)


@pytest.mark.parametrize("kind", ["even", "drift", "half dark"])
def test_the_size_of_a_movie_is_told_within_a_fifth(raw: Path, tmp_path: Path, kind: str) -> None:
    tifffile.imwrite(raw / "movie.tif", _movie(kind), photometric="minisblack")
    session = small_session(raw, epochs=())
    streams = {"movie": session.streams["movie"]}
    study = study_of(session.model_copy(update={"streams": streams}))
    planned = convert(study, tmp_path / "out", dry_run=True)
    assert not (tmp_path / "out").exists()
    made = convert(study, tmp_path / "out").paths[0].stat().st_size
    assert planned.sessions[0].size_bytes == pytest.approx(made, rel=0.2)
    assert planned.space is not None
    assert planned.space.output_bytes == planned.sessions[0].size_bytes
    assert planned.space.input_bytes == (raw / "movie.tif").stat().st_size


def test_the_size_of_traces_and_tables_is_told_within_a_fifth(tmp_path: Path) -> None:
    study = simulate_study(tmp_path, animals=1, neurons=40, movies=0)
    planned = convert(study, tmp_path / "out", dry_run=True)
    for guess, file in zip(planned.sessions, convert(study, tmp_path / "out").paths, strict=True):
        assert guess.size_bytes == pytest.approx(file.stat().st_size, rel=0.2)


def test_the_size_of_the_real_recording(treadmill: Study, tmp_path: Path) -> None:
    planned = convert(treadmill, tmp_path / "out", dry_run=True).sessions[0]
    made = convert(treadmill, tmp_path / "out").paths[0]
    assert planned.size_bytes == pytest.approx(made.stat().st_size, rel=0.2)


@pytest.fixture
def small_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert_module, "free_bytes", lambda folder: 10_000)


@pytest.mark.usefixtures("small_disk")
def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(raw: Path, tmp_path: Path) -> None:
    study = study_of(small_session(raw))
    planned = convert(study, tmp_path / "out", dry_run=True)
    assert not planned.ok
    assert planned.as_dict()["space"]["short"] is True
    assert "too small" in planned.summary()
    with pytest.raises(IssuesError, match=r"(?s)too small.*10\.0 kB free.*--no-space-check") as caught:
        convert(study, tmp_path / "out")
    assert [each.code for each in caught.value.issues] == ["no-space"]
    assert not (tmp_path / "out").exists()
    assert convert(study, tmp_path / "out", space_check=False).ok
    assert convert(study, tmp_path / "out").ok


@pytest.mark.usefixtures("small_disk")
def test_the_command_ends_with_1_and_can_be_told_to_begin_anyway(tmp_path: Path) -> None:
    study = simulate_study(tmp_path, animals=1, neurons=3, movies=0)
    arguments = ["convert", str(study), "-o", str(tmp_path / "out"), "--session", "day1"]
    assert CliRunner().invoke(commands, [*arguments, "--dry-run"], standalone_mode=False).return_value == 1
    refused = CliRunner().invoke(commands, arguments, standalone_mode=False)
    assert isinstance(refused.exception, IssuesError)
    assert refused.exception.exit_status == 1
    begun = CliRunner().invoke(commands, [*arguments, "--no-space-check"], standalone_mode=False)
    assert begun.return_value == 0


@pytest.mark.parametrize(
    ("output", "replaced", "free", "short"),
    [
        (100, 0, 100, False),
        (124, 0, 100, False),
        (126, 0, 100, True),
        (300, 200, 100, False),
        (0, 0, 0, False),
    ],
)
def test_only_what_clearly_does_not_fit_is_short(
    output: int, replaced: int, free: int, *, short: bool
) -> None:
    assert Space(1, output, replaced, free).short is short
