"""The tables that rooms hand to each other: columns, dtypes, units and meaning."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from nwbswitch.schemas.errors import TableError
from nwbswitch.schemas.issues import Issue, Place, issue, nearest

Dtype = Literal["str", "int", "float", "bool"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column: name, dtype, meaning, unit, whether it must be there and may hold missing values."""

    name: str
    dtype: Dtype
    meaning: str
    unit: str = ""
    required: bool = True
    nullable: bool = False


@dataclass(frozen=True, slots=True)
class TableSpec:
    """A named table: what one row is, and its columns."""

    name: str
    row: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def text_names(self) -> frozenset[str]:
        """Names of the columns that hold text, identifiers among them."""
        return frozenset(column.name for column in self.columns if column.dtype == "str")

    def issues(self, frame: pd.DataFrame, *, file: Path | None = None) -> list[Issue]:
        """Return every way in which ``frame`` does not fit this specification."""
        found = []
        for column in self.columns:
            place = Place(file, item=f"{self.name}.{column.name}")
            if column.name not in frame.columns:
                if column.required:
                    found.append(
                        issue(
                            "missing-column",
                            f"The {self.name} table has no column {column.name!r} ({column.meaning}).",
                            place=place,
                            remedy=nearest(column.name, map(str, frame.columns)),
                        )
                    )
                continue
            if list(frame.columns).count(column.name) > 1:
                found.append(
                    issue("duplicate-id", f"The column {column.name!r} is there twice.", place=place)
                )
                continue
            found += _column_issues(frame[column.name], column, place)
        return found

    def checked(self, frame: pd.DataFrame, *, file: Path | None = None) -> pd.DataFrame:
        """Return ``frame`` with this table's columns first and in its dtypes.

        Columns that may be absent are left absent; columns not in the specification are kept after the
        known ones.

        Raises
        ------
        TableError
            Naming every missing column and every column with bad values.
        """
        if not isinstance(frame, pd.DataFrame):
            raise TypeError(
                f"the {self.name} table must be a pandas DataFrame, not {type(frame).__name__}; "
                "read a file with nwbswitch.read_table"
            )
        found = self.issues(frame, file=file)
        if found:
            raise TableError(found)
        known = [column for column in self.columns if column.name in frame.columns]
        typed = {column.name: _typed(frame[column.name], column) for column in known}
        rest = {name: frame[name] for name in frame.columns if name not in typed}
        return pd.DataFrame({**typed, **rest}, index=frame.index)


def _column_issues(values: pd.Series, column: Column, place: Place) -> list[Issue]:
    missing = values.isna()
    if missing.any() and not column.nullable and column.dtype != "str":
        row = int(np.flatnonzero(missing)[0])
        return [issue("bad-cell", f"Row {row + 1} of {column.name!r} is empty.", place=place)]
    if column.dtype == "str":
        return []
    present = values[~missing]
    bad = ~_fits(present, column.dtype)
    if not bad.any():
        return []
    row = int(np.flatnonzero((~missing).to_numpy())[int(np.flatnonzero(bad)[0])])
    return [
        issue(
            "bad-cell",
            f"Row {row + 1} of {column.name!r} holds {_shown(values.iloc[row])}, "
            f"expected {_WORDS[column.dtype]}.",
            place=place,
        )
    ]


def _fits(present: pd.Series, dtype: Dtype) -> np.ndarray:
    """Return which values can be read as ``dtype`` without loss; dates and complex numbers never can."""
    if present.dtype.kind in "mMc":
        return np.zeros(len(present), dtype=bool)
    numbers = pd.to_numeric(present, errors="coerce")
    if numbers.dtype.kind == "c":
        plain = numbers.to_numpy()
        numbers = pd.Series(np.where(plain.imag == 0, plain.real, np.nan))
    if numbers.dtype.kind not in "biuf":
        numbers = numbers.astype("float64")
    floats = numbers.to_numpy(dtype="float64", na_value=np.nan)
    fits = ~np.isnan(floats)
    if dtype == "int":
        fits &= (np.abs(floats) < _INT_LIMIT) & (floats == np.floor(floats))
    elif dtype == "bool":
        fits &= (floats == 0) | (floats == 1)
    return np.asarray(fits, dtype=bool)


def _shown(value: object) -> str:
    return repr(value.item() if isinstance(value, np.generic) else value)


_INT_LIMIT = 2.0**63
_WORDS: dict[str, str] = {"int": "a whole number", "float": "a number", "bool": "true or false"}


def _typed(values: pd.Series, column: Column) -> pd.Series:
    match column.dtype:
        case "str":
            return values.astype(object).where(values.notna(), "").astype(str)
        case "int":
            return pd.to_numeric(values).astype("int64")
        case "bool":
            return values.astype(bool)
        case "float":
            return pd.to_numeric(values).astype("float64")


EVENT_BASIS_MEANING = (
    "What n_events counts: crossing, deconvolution (ours), deconvolved (the file's), file_events, spikes or "
    "spikes_as_calcium."
)

CELLS = TableSpec(
    "cells",
    "one neuron in one block of one analysis window",
    (
        Column("dataset", "str", "Name of the study or dandiset."),
        Column("animal", "str", "Subject identifier, unique within the dataset."),
        Column("session", "str", "Recording session identifier, unique within the animal."),
        Column("plane", "str", "Imaging plane."),
        Column("neuron", "int", "Row of the neuron in its plane segmentation."),
        Column("tracking_id", "str", "Identity across recording sessions; empty when not registered."),
        Column("cell_type", "str", "Cell type, as in the vocabulary of cell types."),
        Column("region", "str", "Allen Mouse Brain Atlas acronym."),
        Column("depth_um", "float", "Depth of the plane below the pia.", "um", nullable=True),
        Column("roi_basis", "str", "How ROIs were found: activity, anatomical or unknown."),
        Column("arm", "str", "Treatment arm of the session, e.g. ketamine or saline; empty without a drug."),
        Column("order", "int", "Rank of the session within its animal by start time, from 1."),
        Column("window", "str", "baseline, drug, pseudo_baseline, pseudo_drug, washout or recovery."),
        Column("block", "int", "Index of the block in its window, from 0."),
        Column("half", "int", "Interleaved half the block belongs to, 1 or 2."),
        Column("start_s", "float", "Start of the block on the session clock.", "s"),
        Column("exposure_s", "float", "Time of valid frames in the block.", "s"),
        Column("n_events", "int", "Upward threshold crossings in valid frames."),
        Column("n_negative", "int", "Crossings of the mirrored trace: the noise floor of n_events."),
        Column("activity", "float", "Deconvolved activity per second where present.", "1/s", nullable=True),
        Column("mean_dff", "float", "Mean dF/F of valid frames.", nullable=True),
        Column("noise", "float", "Standard deviation of the dF/F noise in this block.", nullable=True),
        Column("source", "str", "File path, URL or asset the row was measured from."),
        Column("source_digest", "str", "SHA-256 or asset digest of the source."),
        Column("object_path", "str", "Path of the traces inside the source."),
        Column("simulated", "bool", "Whether the source says that it is simulated."),
        Column(
            "asset_id", "str", "Identifier of the source in its archive; empty for a file.", required=False
        ),
        Column("source_version", "str", "Version of the dandiset; empty for a file.", required=False),
        Column("modality", "str", "calcium or spikes.", required=False),
        Column("event_basis", "str", EVENT_BASIS_MEANING, required=False),
        Column("indicator", "str", "Calcium indicator as the file states it.", required=False),
        Column("layer", "str", "Cortical layer, e.g. 2/3; empty when not stated.", required=False),
    ),
)

ESTIMATES = TableSpec(
    "estimates",
    "one estimand for one arm at one level",
    (
        Column("dataset", "str", "Name of the study or dandiset."),
        Column("arm", "str", "Treatment arm."),
        Column("cell_type", "str", "Cell type the sums run over."),
        Column("contrast", "str", "drug (window against baseline), pseudo (N1), vs_<arm> or vs_pseudo."),
        Column("level", "str", "session, animal or arm."),
        Column("animal", "str", "Subject identifier at animal and session level, else empty."),
        Column("estimand", "str", "G, R_act, R_sil, SW, rho_star, tau_c, M, or an exploratory one."),
        Column("k", "int", "Detection limit of the tau_c sweep; 0 for all other estimands."),
        Column("estimate", "float", "Point estimate; empty when it is not estimable.", nullable=True),
        Column("se", "float", "Standard error.", nullable=True),
        Column("ci_low", "float", "Lower bound of the 95 % interval.", nullable=True),
        Column("ci_high", "float", "Upper bound of the 95 % interval.", nullable=True),
        Column("df", "float", "Degrees of freedom of the interval.", nullable=True),
        Column(
            "p", "float", "Two-sided P; empty where the number of animals cannot support one.", nullable=True
        ),
        Column("n_animals", "int", "Animals that contribute."),
        Column("n_sessions", "int", "Recording sessions that contribute."),
        Column("n_neurons", "int", "Neurons that contribute, each counted once by tracking id."),
        Column("status", "str", "ok, or why there is no estimate."),
        Column("simulated", "bool", "Whether any source says that it is simulated."),
        Column("session", "str", "Recording session at session level, else empty.", required=False),
        Column(
            "role",
            "str",
            "primary, gatekeeping, secondary, exploratory or descriptive (no test).",
            required=False,
        ),
        Column("p_holm", "float", "P by Holm's method within its role.", required=False, nullable=True),
    ),
)

TABLES: dict[str, TableSpec] = {spec.name: spec for spec in (CELLS, ESTIMATES)}
