"""Rows of the cells table: one neuron in one block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from nwbswitch.analysis.activity.blocks import Block
from nwbswitch.analysis.reading.outline import NeuronTable

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of neurons in blocks; every array has shape (neurons, blocks)."""

    exposure_s: Floats
    n_events: Floats
    n_negative: Floats
    activity: Floats
    mean_dff: Floats
    noise: Floats


@dataclass(frozen=True, slots=True)
class Basis:
    """What the numbers of one source rest on."""

    plane: str
    object_path: str
    modality: str
    event_basis: str
    indicator: str


def cell_rows(
    neurons: NeuronTable,
    rows: NDArray[np.int64],
    blocks: Sequence[Block],
    measured: Measured,
    basis: Basis,
    *,
    min_exposure_s: float,
) -> pd.DataFrame:
    """Return the columns of the cells table that belong to neuron, window and block.

    Parameters
    ----------
    neurons
        All neurons of the source.
    rows
        Row of ``neurons`` of each measured neuron.
    blocks
        Blocks, in the order of the columns of ``measured``.
    measured
        Numbers of the neurons in ``rows``.
    basis
        What they rest on.
    min_exposure_s
        Blocks with less are left out.
    """
    import pandas as pd

    index, column = np.nonzero((measured.exposure_s >= min_exposure_s) & (measured.exposure_s > 0))
    row = rows[index]
    number = np.array([block.number for block in blocks], dtype=np.int64)[column]
    texts = {
        name: np.array(getattr(neurons, name), dtype=object)[row]
        for name in ("tracking_id", "cell_type", "region", "layer")
    }
    return pd.DataFrame(
        {
            "plane": basis.plane,
            "neuron": row,
            **texts,
            "depth_um": np.array(neurons.depth_um, dtype=np.float64)[row],
            "roi_basis": np.array(neurons.roi_basis, dtype=object)[row],
            "window": np.array([block.window.value for block in blocks], dtype=object)[column],
            "block": number,
            "half": 1 + number % 2,
            "start_s": np.array([block.start_s for block in blocks], dtype=np.float64)[column],
            "exposure_s": measured.exposure_s[index, column],
            "n_events": measured.n_events[index, column].astype(np.int64),
            "n_negative": measured.n_negative[index, column].astype(np.int64),
            "activity": measured.activity[index, column],
            "mean_dff": measured.mean_dff[index, column],
            "noise": measured.noise[index, column],
            "object_path": basis.object_path,
            "modality": basis.modality,
            "event_basis": basis.event_basis,
            "indicator": basis.indicator,
        }
    )
