"""What a user may choose about measuring activity."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from nwbswitch.analysis.activity.transients import GCAMP6S, Transient


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _require_positive(given: object, *names: str) -> None:
    for name in names:
        value = getattr(given, name)
        if not (_is_number(value) and value > 0):
            raise ValueError(f"{name} must be positive, not {value!r}")


@dataclass(frozen=True, slots=True)
class CalciumModel:
    """The calcium recording that spikes are turned into when they are thinned to its detectability.

    The noise is chosen so that as much is seen as in populations under a scanning microscope, where Huang et
    al. 2021 (eLife 10:e51675) found under 10 % of single spikes and 20 to 30 % of pairs: here 0.01 and 0.3,
    and 0.9 of three. It was fitted to that and measured nowhere; it is 4.7 % per square root of Hz in the
    standardised measure of Rupprecht et al. 2021 (Nat. Neurosci. 24:1324-1337). To compare with one certain
    data set, give its indicator, noise and frame rate.
    """

    transient: Transient = GCAMP6S
    noise_dff: float = 0.27
    """Standard deviation of one frame at rest, dF/F."""
    rate_hz: float = 30.0

    def __post_init__(self) -> None:
        _require_positive(self, "noise_dff", "rate_hz")


@dataclass(frozen=True, slots=True)
class Recipe:
    """How traces and spikes become events, exposure and activity of blocks of time."""

    block_s: float = 30.0
    """Length of a block."""
    threshold_sd: float = 3.0
    """Level of an event, in standard deviations of the neuron's noise at baseline."""
    neuropil_coefficient: float | Literal["fit"] = 0.7
    """Share of the neuropil's fluctuation that is subtracted, or ``fit``: that of each neuron at baseline."""
    events: Literal["crossing", "deconvolution"] = "crossing"
    """Whether events are crossings of the level or jumps of deconvolved traces that exceed it."""
    decay_s: float | None = None
    """Decay constant for deconvolution; None for that of the indicator that the file states."""
    spikes: Literal["counted", "as_calcium"] = "counted"
    """Whether spikes count as they are or after they went through ``calcium``."""
    calcium: CalciumModel = CalciumModel()
    smooth_s: float = 0.2
    """Length of the moving average of traces: one frame at 5 Hz, six at 30 Hz."""
    min_above_s: float = 0.4
    """Shortest stay above the level that counts as a crossing."""
    min_block_share: float = 0.5
    """Smallest share of a block that must be valid for the block to be kept."""
    max_shift_um: float = 5.0
    """Frames that motion correction moved by more than this from where the last second was are spoilt.

    Half a soma: cortical somata are 10 to 15 um wide, so that a mask which is off by more than this within
    one frame holds less of its cell than of what lies beside it.
    """
    frames: Literal["all", "still", "matched"] = "all"
    """Which frames count: all valid ones, those without movement, or those that make movement alike in the
    two windows that are compared."""
    margin_s: float = 90.0
    """What is read on either side of a window, or of a piece of it, to know fluorescence at rest there.

    Half the window of resting frames: saturating bursts without a pause gave 0.001 negative crossings per
    minute then, as with the whole trace, and 0.018 with 60 s.
    """
    piece_s: float = 900.0
    """Longest stretch that is worked on at a time."""

    def __post_init__(self) -> None:
        positive = ("block_s", "threshold_sd", "smooth_s", "min_above_s", "max_shift_um", "piece_s")
        _require_positive(self, *positive)
        if self.decay_s is not None:
            _require_positive(self, "decay_s")
        for name, words in (
            ("events", ("crossing", "deconvolution")),
            ("spikes", ("counted", "as_calcium")),
            ("frames", ("all", "still", "matched")),
        ):
            if getattr(self, name) not in words:
                raise ValueError(f"{name} must be {' or '.join(words)}, not {getattr(self, name)!r}")
        for name in ("neuropil_coefficient", "min_block_share"):
            value = getattr(self, name)
            if name == "neuropil_coefficient" and value == "fit":
                continue
            if not (_is_number(value) and 0 <= value <= 1):
                raise ValueError(f"{name} must be from 0 to 1, not {value!r}")
        if not (_is_number(self.margin_s) and self.margin_s >= 0):
            raise ValueError(f"margin_s must not be negative, not {self.margin_s!r}")
        if self.piece_s < self.margin_s:
            raise ValueError(f"piece_s must be at least margin_s ({self.margin_s:g} s), not {self.piece_s:g}")

    def as_dict(self) -> dict[str, Any]:
        """Return all choices as plain JSON values, for provenance."""
        return asdict(self)
