"""Simulated fluorescence with a known truth: event rates, events, and what a microscope makes of them.

Everything here is arrays in, arrays out. Nothing in the numbers comes from an animal. The kernel is that of
GCaMP6s for one action potential (Chen et al. 2013, Nature 499:295-300: peak after 0.18 s, half decay after
0.55 s); the statistics of events are those of `nwbswitch.schemas.worlds`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nwbswitch.schemas.worlds import BLOCK_S, World, baseline_rates, block_gains, rates_after

Floats = NDArray[np.float64]
Traces = NDArray[np.float32]

RATE_HZ = 5.0
"""Frame rate, Hz."""
N_FRAMES = 10_200
"""Frames in a recording session: 34 min."""
INJECTION_S = 1380.0
"""Time of the injection on the session clock, s."""
DECAY_S = 0.55 / math.log(2)
"""Decay constant of a transient, s."""
RISE_S = 0.07
"""Rise constant of a transient, s; with `DECAY_S` the peak comes after 0.18 s."""
AMPLITUDE_DFF = 0.6
"""Mean peak of a transient over neurons, dF/F: a burst of a few action potentials."""
AMPLITUDE_CV_NEURONS = 0.25
AMPLITUDE_CV_EVENTS = 0.35
NOISE_DFF = 0.06
"""Median standard deviation of one frame of a neuron at rest, dF/F."""
NEUROPIL_COEFFICIENT = 0.7
"""Mean share of the surrounding neuropil signal that is in a neuron's mask."""
SPEED_WHEN_RUNNING_CM_S = 14.0
KETAMINE_RUNNING = 0.35
"""Factor on how often bouts of running begin after ketamine."""


@dataclass(frozen=True, slots=True)
class Neurons:
    """What stays the same for the ROIs of one animal; every array has shape (rois,)."""

    accepted: NDArray[np.bool_]
    """False for ROIs that are no cells: they carry neuropil and noise, and no events."""
    rate_per_min: Floats
    """Event rate at baseline, events/min; 0 for rejected ROIs."""
    amplitude_dff: Floats
    """Mean peak of this neuron's transients, dF/F."""
    brightness: Floats
    """Fluorescence of the cell at rest, a.u."""
    neuropil: Floats
    """Fluorescence of the neuropil around it at rest, a.u."""
    contamination: Floats
    """Share of the neuropil signal in the neuron's mask."""
    noise_dff: Floats
    """Standard deviation of one frame at rest, dF/F."""


@dataclass(frozen=True, slots=True)
class Events:
    """Transients in time order within each neuron; every array has shape (events,)."""

    roi: NDArray[np.int64]
    time_s: Floats
    amplitude_dff: Floats


@dataclass(frozen=True, slots=True)
class Recording:
    """One simulated recording session and the truth behind it."""

    fluorescence: Traces
    """Shape (rois, frames), a.u.; Suite2p's F."""
    neuropil: Traces
    """Shape (rois, frames), a.u.; Suite2p's Fneu."""
    deconvolved: Traces
    """Shape (rois, frames), a.u.; in place of Suite2p's spks."""
    events: Events
    block_rate_per_min: Floats
    """True rate of each ROI in each block, before its gain, shape (rois, blocks), events/min."""


def make_neurons(n_neurons: int, n_rejected: int, rng: np.random.Generator) -> Neurons:
    """Draw the ROIs of one animal: ``n_neurons`` cells and, scattered among them, ``n_rejected`` others."""
    n = n_neurons + n_rejected
    accepted = np.ones(n, dtype=bool)
    accepted[rng.choice(n, n_rejected, replace=False)] = False
    rate = np.zeros(n)
    rate[accepted] = baseline_rates(n_neurons, rng)
    brightness = _lognormal(300.0, 0.35, n, rng)
    return Neurons(
        accepted=accepted,
        rate_per_min=rate,
        amplitude_dff=_lognormal(AMPLITUDE_DFF, AMPLITUDE_CV_NEURONS, n, rng),
        brightness=np.where(accepted, brightness, 0.2 * brightness),
        neuropil=_lognormal(220.0, 0.2, n, rng),
        contamination=np.clip(rng.normal(NEUROPIL_COEFFICIENT, 0.05, n), 0.5, 0.9),
        noise_dff=NOISE_DFF * np.exp(rng.normal(0.0, 0.3, n)),
    )


def block_rates(neurons: Neurons, world: World, rng: np.random.Generator) -> Floats:
    """Return the true rates, shape (rois, blocks), events/min: ``world`` holds from the injection on."""
    n_blocks = round(N_FRAMES / RATE_HZ / BLOCK_S)
    after = np.zeros_like(neurons.rate_per_min)
    after[neurons.accepted] = rates_after(world, neurons.rate_per_min[neurons.accepted], rng)
    is_after = np.arange(n_blocks) * BLOCK_S >= INJECTION_S
    return np.where(is_after, after[:, None], neurons.rate_per_min[:, None])


def draw_events(rate_per_min: Floats, amplitude_dff: Floats, rng: np.random.Generator) -> Events:
    """Draw events: counts per block are Poisson times a gamma gain, times uniform within the block.

    Parameters
    ----------
    rate_per_min
        Shape (rois, blocks), events/min.
    amplitude_dff
        Mean peak of each ROI's transients, shape (rois,), dF/F; single events vary by a gamma factor.
    rng
        Source of randomness.
    """
    counts = rng.poisson(rate_per_min * block_gains(rate_per_min.shape, rng) * (BLOCK_S / 60))
    roi, block = (np.repeat(index.ravel(), counts.ravel()) for index in np.indices(counts.shape))
    time_s = (block + rng.random(block.size)) * BLOCK_S
    order = np.lexsort((time_s, roi))
    shape = 1 / AMPLITUDE_CV_EVENTS**2
    factor = rng.gamma(shape, 1 / shape, roi.size)
    return Events(roi[order].astype(np.int64), time_s[order], amplitude_dff[roi[order]] * factor)


def calcium(events: Events, n_rois: int, *, n_frames: int = N_FRAMES, rate_hz: float = RATE_HZ) -> Floats:
    """Return noise-free dF/F, shape (rois, frames): the sum of all transients, sampled at frame times.

    The kernel (1 - exp(-t/rise)) exp(-t/decay), scaled to peak 1, is a difference of two exponentials, so
    each is one recursion over frames, exact for events between frames.
    """
    from scipy.signal import lfilter

    first = np.ceil(events.time_s * rate_hz).astype(np.int64)
    inside = first < n_frames
    roi, first = events.roi[inside], first[inside]
    lag_s = first / rate_hz - events.time_s[inside]
    fast_s = 1 / (1 / DECAY_S + 1 / RISE_S)
    peak_s = RISE_S * math.log1p(DECAY_S / RISE_S)
    scale = 1 / ((1 - math.exp(-peak_s / RISE_S)) * math.exp(-peak_s / DECAY_S))
    total = np.zeros((n_rois, n_frames))
    for sign, constant_s in ((1.0, DECAY_S), (-1.0, fast_s)):
        impulses = np.zeros((n_rois, n_frames))
        weight = sign * scale * events.amplitude_dff[inside] * np.exp(-lag_s / constant_s)
        np.add.at(impulses, (roi, first), weight)
        total += lfilter([1.0], [1.0, -math.exp(-1 / (rate_hz * constant_s))], impulses, axis=1)
    return total


def treadmill_speed(
    n_samples: int, rate_hz: float, rng: np.random.Generator, *, running: Floats | None = None
) -> Floats:
    """Return treadmill speed, shape (samples,), cm/s: bouts of running between rest.

    Parameters
    ----------
    n_samples, rate_hz
        Length and sampling rate.
    rng
        Source of randomness.
    running
        Factor on how often bouts begin at each sample, shape (samples,); by default 1.
    """
    from scipy.signal import lfilter

    speed = np.zeros(n_samples)
    often = np.ones(n_samples) if running is None else running
    begins = np.flatnonzero(rng.random(n_samples) < often / (25.0 * rate_hz))
    for start, length_s in zip(begins, rng.gamma(2.0, 4.0, begins.size), strict=True):
        stop = start + max(1, round(length_s * rate_hz))
        speed[start:stop] = SPEED_WHEN_RUNNING_CM_S * rng.lognormal(0.0, 0.3)
    pole = math.exp(-1 / (0.5 * rate_hz))
    smooth = lfilter([1 - pole], [1, -pole], speed * np.exp(rng.normal(0.0, 0.15, n_samples)))
    return np.asarray(np.round(np.maximum(smooth, 0.0), 3))


def record(neurons: Neurons, rate_per_min: Floats, speed_cm_s: Floats, rng: np.random.Generator) -> Recording:
    """Simulate what the microscope and ROI extraction give for one recording session.

    Transients sit on a resting brightness that bleaches and drifts; the mask holds a share of a neuropil
    signal common to all ROIs that rises with movement and with the activity of the population; the noise
    grows with the square root of brightness.

    Parameters
    ----------
    neurons
        The ROIs.
    rate_per_min
        Shape (rois, blocks), events/min, as `block_rates` gives it.
    speed_cm_s
        Speed at each frame, shape (frames,), cm/s.
    rng
        Source of randomness.
    """
    n, n_frames = neurons.accepted.size, speed_cm_s.size
    events = draw_events(rate_per_min, neurons.amplitude_dff, rng)
    dff = calcium(events, n, n_frames=n_frames)
    time_s = np.arange(n_frames) / RATE_HZ
    bleach = 1 - rng.uniform(0.05, 0.2) * (1 - np.exp(-time_s / 900.0))
    phase = rng.uniform(0, 2 * np.pi, (n, 1))
    drift = 1 + 0.02 * np.sin(2 * np.pi * time_s / rng.uniform(600, 1800, (n, 1)) + phase)
    moving = speed_cm_s / SPEED_WHEN_RUNNING_CM_S
    shared = _fluctuation(1, n_frames, sd=0.06, constant_s=5.0, rng=rng) + 0.03 * moving
    shared = shared + 0.3 * (dff.mean(axis=0) - dff.mean())
    around = 1 + shared + _fluctuation(n, n_frames, sd=0.02, constant_s=2.0, rng=rng)
    neuropil = neurons.neuropil[:, None] * bleach * around
    session = _lognormal(1.0, 0.1, n, rng)[:, None]
    rest = neurons.brightness[:, None] * session * bleach * drift * (1 + 0.005 * moving)
    mean = rest * (1 + dff) + neurons.contamination[:, None] * neuropil
    at_rest = neurons.brightness[:, None] + neurons.contamination[:, None] * neurons.neuropil[:, None]
    sd = (neurons.noise_dff * neurons.brightness)[:, None] * np.sqrt(mean / at_rest)
    sd[~neurons.accepted] *= 3
    fluorescence = mean + sd * rng.standard_normal(mean.shape)
    neuropil += 0.01 * neurons.neuropil[:, None] * rng.standard_normal(mean.shape)
    signal = fluorescence - NEUROPIL_COEFFICIENT * neuropil
    return Recording(
        fluorescence=fluorescence.astype(np.float32),
        neuropil=neuropil.astype(np.float32),
        deconvolved=_deconvolved(signal, sd),
        events=events,
        block_rate_per_min=rate_per_min,
    )


def _deconvolved(signal: Floats, sd: Floats) -> Traces:
    """Undo the decay frame by frame and keep what exceeds two standard deviations of the noise."""
    keep = math.exp(-1 / (RATE_HZ * DECAY_S))
    step = signal[:, 1:] - keep * signal[:, :-1]
    step -= np.median(step, axis=1, keepdims=True)
    threshold = 2 * math.sqrt(1 + keep**2) * sd[:, 1:]
    spikes = np.zeros(signal.shape, dtype=np.float32)
    spikes[:, 1:] = np.where(step > threshold, step, 0.0)
    return spikes


def _fluctuation(n: int, n_frames: int, *, sd: float, constant_s: float, rng: np.random.Generator) -> Floats:
    """Return exponentially correlated noise of standard deviation ``sd``, shape (n, frames)."""
    from scipy.signal import lfilter

    pole = math.exp(-1 / (RATE_HZ * constant_s))
    noise = rng.standard_normal((n, n_frames)) * (sd * math.sqrt(1 - pole**2))
    noise[:, 0] *= 1 / math.sqrt(1 - pole**2)
    return np.asarray(lfilter([1.0], [1.0, -pole], noise, axis=1))


def _lognormal(mean: float, cv: float, n: int, rng: np.random.Generator) -> Floats:
    log_variance = math.log1p(cv**2)
    return rng.lognormal(math.log(mean) - log_variance / 2, math.sqrt(log_variance), n)
