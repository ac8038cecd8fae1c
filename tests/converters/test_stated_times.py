"""Frame times that files state: refused when they cannot be times, and compared with the stated rate."""

from pathlib import Path

import numpy as np
import pytest

from nwbswitch.converters.imaging.stated_times import in_order, measured_rate_hz
from nwbswitch.schemas.errors import InputFileError

FILE = Path("movie.tif")


@pytest.mark.parametrize(
    ("times_s", "message"),
    [
        ([0, 0.1, np.nan, 0.3], "states no time for frame 3"),
        ([np.nan], "states no time for frame 1"),
        ([0, 0.1, np.inf], "states no time for frame 3"),
        ([0, 0.1, 0.1, 0.3], "states 0.1 s for frame 3 and 0.1 s before it"),
        ([0, 0.2, 0.1], "states 0.1 s for frame 3 and 0.2 s before it"),
    ],
)
def test_times_that_are_none_are_refused(times_s: list[float], message: str) -> None:
    with pytest.raises(InputFileError, match=message) as caught:
        in_order(FILE, np.array(times_s), otherwise="the frame rate")
    assert "use_timestamps: false the frame rate" in str(caught.value)


def test_times_with_gaps_are_kept() -> None:
    times_s = np.array([0.5, 0.6, 1.6, 1.7])
    assert in_order(FILE, times_s, otherwise="the frame rate") is times_s


def test_the_stated_rate_holds_unless_the_times_say_otherwise() -> None:
    times_s = np.arange(100) / 30
    times_s[50:] += 5
    assert measured_rate_hz(times_s, 30.0001) == 30.0001
    assert measured_rate_hz(times_s, 15.0) == pytest.approx(30)
    assert measured_rate_hz(times_s, None) == pytest.approx(30)
    assert measured_rate_hz(times_s[:1], 15.0) == 15.0
