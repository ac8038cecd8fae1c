"""What overrides state of all neurons of a recording, laid over what its file says."""

from __future__ import annotations

from dataclasses import replace

from nwbswitch.analysis.reading.outline import NeuronTable
from nwbswitch.schemas import vocabularies
from nwbswitch.schemas.overrides import Override


def restated(neurons: NeuronTable, override: Override) -> NeuronTable:
    """Return neurons with the cell type, region, layer and depth that an override states of all of them."""
    n = len(neurons.accepted)
    if override.cell_type is not None:
        neurons = replace(neurons, cell_type=(override.cell_type,) * n)
    if override.region is not None:
        region = vocabularies.canonical("regions", override.region) or override.region
        neurons = replace(neurons, region=(region,) * n)
    if override.layer is not None:
        neurons = replace(neurons, layer=(override.layer,) * n)
    if override.depth_um is not None:
        neurons = replace(neurons, depth_um=(override.depth_um,) * n)
    return neurons
