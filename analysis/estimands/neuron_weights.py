"""How often each neuron counts in each resample: independent Poisson numbers of mean 1.

The bootstrap draws as many neurons as there are, with replacement, so that a neuron counts Binomial(n, 1/n)
times; Poisson numbers are its limit and need no common draw (Hanley and MacGibbon 2006, Comput Methods
Programs Biomed 83:57-62). They are drawn here from the seed and the names of animal and neuron alone. So a
neuron followed over sessions counts as often in all of them, in every arm and window, which is to resample
it once; and no number depends on which other sessions there are, in which order or on which machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


def neuron_weights(animal: str, neurons: Iterable[str], *, resamples: int, seed: int) -> NDArray[np.uint8]:
    """Return how often each neuron counts, shape (neurons, resamples).

    Parameters
    ----------
    animal, neurons
        Name of the animal and of its neurons, as in `SessionCounts.identity`.
    """
    names = [str(name) for name in neurons]
    weights = np.empty((len(names), resamples), dtype=np.uint8)
    for row, name in zip(weights, names, strict=True):
        row[:] = named_generator(seed, "neuron", animal, name).poisson(1.0, resamples)
    return weights


def named_generator(seed: int, *names: str) -> np.random.Generator:
    """Return a random generator that depends on the seed and the names only."""
    words = "".join(f"{len(name)}:{name}" for name in names)
    digest = hashlib.blake2b(words.encode(), digest_size=16).digest()
    return np.random.default_rng([seed, int.from_bytes(digest, "little")])
