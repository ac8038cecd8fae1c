"""The lowest point of a quadratic model inside a ball."""

from __future__ import annotations

from typing import Final

import numpy as np

# Directions whose curvature is below this part of the largest are flat.
FLAT: Final = 1e-11
# Flat directions in which the model could fall by less than this are left alone.
NEGLIGIBLE: Final = 1e-9
# A step this near to the edge of the ball is near enough.
NEAR: Final = 0.9
_ITERATIONS: Final = 40


def trust_step(gradient: np.ndarray, hessian: np.ndarray, radius: float) -> tuple[np.ndarray, float]:
    """Return the step that minimises g's + s'Hs / 2 with |s| <= radius, and the decrease it promises.

    H may be indefinite or singular. Source: Moré and Sorensen 1983, by the eigenvalues of H, which for a
    handful of variance parameters cost nothing; where g has no part along the lowest one, a move along it
    fills the radius (their hard case).
    """
    values, vectors = np.linalg.eigh(hessian)
    along = vectors.T @ gradient
    lowest, largest = float(values[0]), float(np.abs(values).max())
    flat = FLAT * max(largest, 1e-300)
    if lowest > -flat:
        usable = values > flat
        inside = np.where(usable, -along / np.where(usable, values, 1.0), 0.0)
        elsewhere = radius * float(np.abs(along[~usable]).sum())
        if inside @ inside <= radius**2 and elsewhere < NEGLIGIBLE:
            return vectors @ inside, float(-0.5 * along @ inside)
    low = max(0.0, -lowest)
    shifted = values + low
    regular = shifted > flat
    base = np.where(regular, -along / np.where(regular, shifted, 1.0), 0.0)
    steep = np.abs(along) > 1e-10 * max(float(np.abs(along).max()), 1e-300)
    if lowest < -flat and not np.any(steep & ~regular) and base @ base < radius**2:
        base[0] += np.sqrt(radius**2 - base @ base) * (1.0 if along[0] <= 0.0 else -1.0)
        return vectors @ base, _promised(along, values, base)
    high = low + float(np.linalg.norm(along)) / radius + flat
    shift = 0.5 * (low + high)
    for _ in range(_ITERATIONS):
        shifted = np.maximum(values + shift, 1e-3 * flat)
        step = -along / shifted
        length = float(np.sqrt(step @ step))
        if length > radius:
            low = shift
        elif length > NEAR * radius:
            break
        else:
            high = shift
        # Newton's step on 1 / radius - 1 / length, nearly linear in the shift (their equation 3.9).
        shift += (length / radius - 1.0) * length**2 / float(step @ (step / shifted))
        if not low < shift < high:
            shift = 0.5 * (low + high)
    if length > radius:
        step = step * (radius / length)
    return vectors @ step, _promised(along, values, step)


def _promised(along: np.ndarray, values: np.ndarray, step: np.ndarray) -> float:
    return float(-(along @ step + 0.5 * values @ step**2))
