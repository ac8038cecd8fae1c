"""Sums of events, valid frames and activity per neuron and block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.activity.blocks import frames_between_edges
from nwbswitch.analysis.activity.cell_rows import Measured
from nwbswitch.analysis.activity.noise import noise_sd

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]
Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tallies:
    """Sums over the frames of each block; every array has shape (neurons, blocks)."""

    frames: Floats
    """Valid frames."""
    events: Floats
    negative: Floats
    dff: Floats
    amount: Floats
    """Deconvolved activity."""
    noise: Floats
    """Noise SD times valid frames, since a block may come in two pieces."""
    noise_frames: Floats
    """The valid frames in ``noise``."""

    @classmethod
    def zeros(cls, n_neurons: int, n_blocks: int) -> Tallies:
        """Return sums over nothing."""
        return cls(*(np.zeros((n_neurons, n_blocks)) for _ in range(7)))

    def add(
        self,
        rows: NDArray[np.int64],
        edges_s: Floats,
        time_s: Floats,
        dff: Samples,
        begins: Flags,
        mirrored: Flags,
        amount: Samples | None,
        n_smooth: int,
    ) -> None:
        """Take in the frames of one core.

        Parameters
        ----------
        rows
            Row here of each neuron.
        edges_s
            Start and stop of every block, shape (blocks, 2), s; those beyond the core are skipped.
        time_s
            Time of each frame, shape (frames,), s.
        dff
            Smoothed dF/F, shape (neurons, frames), NaN where invalid.
        begins, mirrored
            Where events of the trace and of the mirrored trace begin, shape as ``dff``.
        amount
            Deconvolved activity, shape as ``dff``.
        n_smooth
            Frames of the moving average: the noise is that of one frame in each.
        """
        valid = ~np.isnan(dff)
        complete = bool(valid.all())
        filled = dff if complete else np.where(valid, dff, np.float32(0))
        if amount is not None:
            amount = np.where(valid & np.isfinite(amount), amount, np.float32(0))
        for column, inside in frames_between_edges(time_s, edges_s):
            n = inside.stop - inside.start
            frames = np.full(rows.size, float(n)) if complete else valid[:, inside].sum(axis=1) * 1.0
            self.frames[rows, column] += frames
            self.events[rows, column] += begins[:, inside].sum(axis=1)
            self.negative[rows, column] += mirrored[:, inside].sum(axis=1)
            self.dff[rows, column] += filled[:, inside].sum(axis=1, dtype=np.float64)
            if amount is not None:
                self.amount[rows, column] += amount[:, inside].sum(axis=1, dtype=np.float64)
            noise = noise_sd(dff[:, inside][:, n_smooth // 2 :: n_smooth])
            self.noise[rows, column] += np.where(np.isnan(noise), 0.0, noise * frames)
            self.noise_frames[rows, column] += np.where(np.isnan(noise), 0.0, frames)


def measured_of(
    tallies: Tallies, usable: Flags, rate_hz: float, *, with_dff: bool, with_amount: bool
) -> Measured:
    """Return sums over frames as exposure, counts and means, of the usable neurons.

    Parameters
    ----------
    tallies
        Sums.
    usable
        Neurons that are wanted, shape (neurons,).
    rate_hz
        Frame rate, Hz.
    with_dff, with_amount
        Whether mean dF/F and noise, and whether deconvolved activity mean anything; else they are NaN.
    """
    frames = tallies.frames[usable]
    exposure_s = frames / rate_hz

    def over(total: Floats, by: Floats, wanted: bool) -> Floats:
        mean = np.full(by.shape, np.nan)
        np.divide(total[usable], by, out=mean, where=(by > 0) & wanted)
        return mean

    return Measured(
        exposure_s=exposure_s,
        n_events=tallies.events[usable],
        n_negative=tallies.negative[usable],
        activity=over(tallies.amount, exposure_s, with_amount),
        mean_dff=over(tallies.dff, frames, with_dff),
        noise=over(tallies.noise, tallies.noise_frames[usable], with_dff),
    )
