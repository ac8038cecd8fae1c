"""Six mistakes of a lab, and an attack: each is one clear error, and nothing is written."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nwbswitch.converters.simulate import simulate_study


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Path:
    return simulate_study(tmp_path_factory.mktemp("study"), animals=1, neurons=3).parent


@pytest.fixture
def study(simulated, tmp_path) -> Path:
    """Return a private copy; files are links to the original, so mistakes replace them."""
    folder = tmp_path / "study"
    shutil.copytree(simulated, folder, copy_function=os.link)
    return folder


class Attack:
    """Makes a file called attacked when it is unpickled."""

    def __reduce__(self):
        return (os.system, ("touch attacked",))


def _edited(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.unlink()
    path.write_text(text.replace(old, new))


def wrong_column(study: Path) -> str:
    _edited(study / "raw" / "drug_log.csv", "dose_unit", "dose_unti")
    return "drug_log.csv"


def missing_file(study: Path) -> str:
    (study / "raw" / "SIM01" / "day1" / "treadmill.csv").unlink()
    return "treadmill.csv"


def bad_unit(study: Path) -> str:
    _edited(study / "raw" / "drug_log.csv", "mg/kg", "mgkg")
    return "drug_log.csv"


def unknown_drug(study: Path) -> str:
    _edited(study / "raw" / "drug_log.csv", "ketamine", "ketamien")
    return "drug_log.csv"


def truncated_tiff(study: Path) -> str:
    path = study / "raw" / "SIM01" / "day1" / "movie.tif"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
    return "movie.tif"


def crafted_pickle(study: Path) -> str:
    path = study / "raw" / "SIM01" / "day1" / "suite2p" / "plane0" / "ops.npy"
    path.unlink()
    np.save(path, np.array({"fs": Attack()}, dtype=object), allow_pickle=True)
    assert b"system" in path.read_bytes()
    return "ops.npy"


MISTAKES: tuple[tuple[Callable[[Path], str], str], ...] = (
    (wrong_column, "dose_unit"),
    (missing_file, "missing-file"),
    (bad_unit, "mg/kg"),
    (unknown_drug, "ketamine"),
    (truncated_tiff, "damaged"),
    (crafted_pickle, "system"),
)


@pytest.mark.parametrize(("make", "words"), MISTAKES, ids=[make.__name__ for make, _ in MISTAKES])
def test_a_mistake_is_one_clear_error(study, tmp_path, make, words) -> None:
    named = make(study)
    out = tmp_path / "nwb"
    command = [sys.executable, "-m", "nwbswitch", "convert", str(study / "study.yaml"), "-o", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode in (1, 2)
    shown = done.stdout + done.stderr
    assert "Traceback" not in shown
    assert named in shown
    assert words in shown
    written = [path.name for path in out.rglob("*.nwb")]
    assert not [name for name in written if "day1" in name]
    assert not [name for name in written if name.startswith(".")]
    assert not (tmp_path / "attacked").exists()
