"""Whole numbers of which a study file chooses one."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from nwbswitch.schemas.streams import Stream
from nwbswitch.schemas.study_clocks import PulseSource

STREAM = TypeAdapter(Stream)
ENCODER = {"format": "wheel_encoder", "path": "w.csv", "count": "c", "counts_per_turn": "4096"}


def test_a_study_file_gives_them_as_text(tmp_path: Path) -> None:
    values = {**ENCODER, "counter_bits": "16", "timing_of": "m", "frame_column": "f", "first_frame": "1"}
    stream = STREAM.validate_python(values)
    assert (stream.counter_bits, stream.first_frame) == (16, 1)
    source = PulseSource.model_validate(
        {"path": "t.mat", "variable": "t", "kind": "samples", "rate_hz": "3e4", "first_sample": "1"}
    )
    assert source.first_sample == 1


@pytest.mark.parametrize("bits", ["12", "16.5", "sixteen", "-8", 12, True])
def test_other_numbers_are_refused(bits: object) -> None:
    with pytest.raises(ValidationError):
        STREAM.validate_python({**ENCODER, "counter_bits": bits})
