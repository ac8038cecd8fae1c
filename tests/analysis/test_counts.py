"""Reading the cells table into arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from nwbswitch.analysis.estimands.counts import (
    DRUG,
    PSEUDO,
    comparable,
    count_neurons,
    half_counts,
    halves,
    read_sessions,
)
from nwbswitch.analysis.simulation.count_studies import Scenario, cells_table, simulate_study
from nwbswitch.schemas.errors import TableError


@pytest.fixture(scope="module")
def cells() -> pd.DataFrame:
    study = simulate_study(Scenario(), n_animals=2, n_neurons=4, rng=np.random.default_rng(0), window_s=120)
    return cells_table(study)


def test_arrays_hold_the_table_whatever_the_order_of_its_rows(cells: pd.DataFrame) -> None:
    shuffled = cells.sample(frac=1, random_state=1)
    for session, same in zip(read_sessions(cells), read_sessions(shuffled), strict=True):
        assert np.array_equal(session.identity, same.identity)
        for name, window in session.windows.items():
            assert np.array_equal(window.events, same.windows[name].events)
    first = read_sessions(cells)[0]
    row = cells[
        (cells["animal"] == first.animal)
        & (cells["session"] == first.session)
        & (cells["tracking_id"] == first.identity[2])
        & (cells["window"] == "drug")
        & (cells["block"] == 3)
    ]
    assert first.windows["drug"].events[2, 3] == row["n_events"].item()


def test_halves_are_sums_of_interleaved_blocks_and_can_leave_one_out(cells: pd.DataFrame) -> None:
    window = read_sessions(cells)[0].windows["drug"]
    sums = halves(window)
    assert np.array_equal(sums.events[:, 0], window.events[:, 0] + window.events[:, 2])
    assert np.array_equal(sums.events[:, 1], window.events[:, 1] + window.events[:, 3])
    left = halves(window, without=2)
    assert np.array_equal(left.events[:, 0], window.events[:, 0])
    assert (left.exposure_s == [[30.0, 60.0]] * 4).all()


def test_a_neuron_followed_over_sessions_counts_once(cells: pd.DataFrame) -> None:
    assert count_neurons(read_sessions(cells)) == 2 * 4
    unregistered = cells.assign(tracking_id="")
    assert count_neurons(read_sessions(unregistered)) == 2 * 2 * 4


def test_cell_types_are_kept_apart(cells: pd.DataFrame) -> None:
    mixed = cells.assign(cell_type=np.where(cells["neuron"] == 0, "PV", "excitatory"))
    sizes = {(each.animal, each.arm, each.cell_type): each.identity.size for each in read_sessions(mixed)}
    assert len(sizes) == 8
    assert {size for (_, _, kind), size in sizes.items() if kind == "PV"} == {1}


def test_a_neuron_without_exposure_in_one_half_is_not_compared(cells: pd.DataFrame) -> None:
    lost = cells[~((cells["neuron"] == 1) & (cells["window"] == "drug") & (cells["half"] == 2))]
    session = read_sessions(lost)[0]
    chosen = comparable(session, DRUG)
    assert chosen is not None
    assert chosen.tolist() == [True, False, True, True]
    counts = half_counts(session, DRUG)
    assert counts is not None
    assert counts[0].events.shape == (3, 2)
    assert (counts[1].exposure_s > 0).all()
    pseudo = comparable(session, PSEUDO)
    assert pseudo is not None
    assert pseudo.all()


def test_a_missing_window_gives_no_contrast(cells: pd.DataFrame) -> None:
    session = read_sessions(cells[~cells["window"].str.startswith("pseudo")])[0]
    assert half_counts(session, PSEUDO) is None
    assert half_counts(session, DRUG) is not None


def _twice(cells: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([cells, cells.iloc[[5]]])


def _two_arms(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.assign(arm=["saline"] + ["ketamine"] * (len(cells) - 1))


def _third_half(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.assign(half=3)


def _negative_exposure(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.assign(exposure_s=-1.0)


def _one_tracking_id(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.assign(tracking_id="same")


def _no_rows(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.iloc[:0]


def _no_column(cells: pd.DataFrame) -> pd.DataFrame:
    return cells.drop(columns="n_events")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_twice, "same block twice"),
        (_two_arms, "arm must be one value"),
        (_third_half, "half must be 1 or 2"),
        (_negative_exposure, "exposure_s has negative"),
        (_one_tracking_id, "share a tracking id"),
        (_no_rows, "has no rows"),
        (_no_column, "no column 'n_events'"),
    ],
)
def test_a_table_that_cannot_be_right_is_refused_with_its_place(
    cells: pd.DataFrame, spoil: Callable[[pd.DataFrame], pd.DataFrame], words: str
) -> None:
    with pytest.raises(TableError, match=words):
        read_sessions(spoil(cells))


def test_the_callers_table_is_not_changed(cells: pd.DataFrame) -> None:
    kept = cells.copy(deep=True)
    read_sessions(cells)
    pd.testing.assert_frame_equal(cells, kept)
