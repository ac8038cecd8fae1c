"""Rates for mixed models: sums of blocks, the stabilised rate, reference levels first."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.estimands import rates as module
from nwbswitch.analysis.estimands.counts import read_sessions
from nwbswitch.analysis.estimands.rates import neuron_rates, write_rates
from nwbswitch.analysis.simulation.count_studies import SCENARIOS, cells_table, simulate_study
from nwbswitch.schemas.errors import TableError


@pytest.fixture(scope="module")
def cells():
    rng = np.random.default_rng(3)
    return cells_table(simulate_study(SCENARIOS["switch"], n_animals=2, n_neurons=5, rng=rng))


def test_events_and_exposure_are_sums_over_blocks(cells) -> None:
    rates = neuron_rates(cells)
    pair = cells[cells["window"].isin(("baseline", "drug"))]
    assert rates["n_events"].sum() == pair["n_events"].sum()
    assert rates["exposure_min"].sum() == pytest.approx(pair["exposure_s"].sum() / 60)
    assert len(rates) == 2 * 2 * 5 * 2 * 2  # animals, arms, neurons, windows, halves


def test_response_is_the_stabilised_rate_per_minute(cells) -> None:
    rates = neuron_rates(cells)
    expected = np.sqrt((rates["n_events"] + 0.375) / rates["exposure_min"])
    np.testing.assert_allclose(rates["sqrt_rate"], expected)


def test_the_reference_is_the_first_level(cells) -> None:
    rates = neuron_rates(cells)
    assert list(rates["arm"].cat.categories) == ["saline", "ketamine"]
    assert list(rates["window"].cat.categories) == ["baseline", "drug"]


def test_the_chosen_reference_is_the_first_level(cells) -> None:
    assert list(neuron_rates(cells, reference="ketamine")["arm"].cat.categories) == ["ketamine", "saline"]


def test_a_half_without_valid_frames_has_no_row(cells) -> None:
    blind = (cells["animal"] == "m01") & (cells["window"] == "drug") & (cells["half"] == 1)
    censored = cells.assign(
        exposure_s=cells["exposure_s"].mask(blind, 0.0), n_events=cells["n_events"].mask(blind, 0)
    )
    rates = neuron_rates(censored)
    assert len(rates) == len(neuron_rates(cells)) - 2 * 5
    assert np.isfinite(rates["sqrt_rate"]).all()


def test_sessions_and_neurons_are_unique_over_animals(cells) -> None:
    rates = neuron_rates(cells)
    assert rates["session"].nunique() == 4
    assert rates["neuron"].nunique() == 20


def test_a_missing_column_is_named(cells) -> None:
    with pytest.raises(TableError, match="n_events"):
        neuron_rates(cells.drop(columns="n_events"))


def test_rates_from_counts_are_those_of_the_table(cells, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "_ROWS_AT_ONCE", 30)
    # One half of one neuron has no valid frame, which is no row.
    spoilt = (cells["neuron"] == 3) & (cells["half"] == 2) & (cells["window"] == "drug")
    part = cells[~(spoilt & (cells["arm"] == "saline"))]
    write_rates(read_sessions(part), tmp_path / "rates.parquet", reference="ketamine")
    found = pd.read_parquet(tmp_path / "rates.parquet")
    expected = neuron_rates(part, reference="ketamine")
    assert list(found.columns) == list(expected.columns)
    keys = ["session", "neuron", "window", "half"]
    pd.testing.assert_frame_equal(
        found.sort_values(keys).reset_index(drop=True), expected.sort_values(keys).reset_index(drop=True)
    )


def test_without_the_windows_no_rates_are_written(cells, tmp_path) -> None:
    other = cells[cells["window"].str.startswith("pseudo")]
    write_rates(read_sessions(other), tmp_path / "rates.parquet")
    assert not list(tmp_path.iterdir())
