"""What the design of a study rests on: one row per recording session, measured or not."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import pandas as pd
from pydantic import TypeAdapter

from nwbswitch.analysis.table_file import read_table, write_csv
from nwbswitch.schemas.drug_log import Administration, deciding_row
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError, TableError
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.result_tables import SESSIONS, SESSIONS_FILE
from nwbswitch.schemas.tables import CELLS
from nwbswitch.schemas.units import convert

if TYPE_CHECKING:
    from nwbswitch.analysis.reading.outline import Outline
    from nwbswitch.analysis.sources import Source

NO_START = datetime(1970, 1, 1, tzinfo=UTC)
"""Stands for a start that a file does not state."""
MAX_JSON_CHARS = 4 << 20
"""Of the drug log of one session."""
_LOGS: TypeAdapter[tuple[Administration, ...]] = TypeAdapter(tuple[Administration, ...])
_DAYS = {"Y": 365.25, "M": 30.4375, "W": 7.0, "D": 1.0}
_PERIOD = re.compile(
    r"P(?:(?P<Y>[\d.,]+)Y)?(?:(?P<M>[\d.,]+)M)?(?:(?P<W>[\d.,]+)W)?(?:(?P<D>[\d.,]+)D)?(?:T[\dHMS.,]+)?"
)
_WEIGHT = re.compile(r"([\d.]+(?:e-?\d+)?)\s*(kg|mg|g)(?:r?ams?)?", re.IGNORECASE)
_NAMED = re.compile(r"(?:^|[_/])(sub|ses)-([A-Za-z0-9+.-]+?)(?=_|\.nwb|/|$)")


@dataclass(frozen=True, slots=True)
class SessionAbout:
    """What a recording says of itself, whether or not it could be measured; empty where it does not."""

    dataset: str
    animal: str
    session: str
    start_time: datetime
    administrations: tuple[Administration, ...]
    windows: tuple[str, ...] = ()
    species: str = ""
    sex: str = "U"
    age_days: float | None = None
    weight_g: float | None = None
    genotype: str = ""
    batch: str = ""
    anaesthesia: str = ""
    simulated: bool = False


def about_outline(outline: Outline) -> SessionAbout:
    """Return what the outline of a recording says of its session."""
    subject, row = outline.subject, deciding_row(outline.administrations)
    weight_g = weight_in_g(subject.weight)
    if weight_g is None and row is not None:
        weight_g = row.body_weight_g
    return SessionAbout(
        dataset=outline.dataset,
        animal=subject.subject_id,
        session=outline.session_id,
        start_time=outline.start_time,
        administrations=outline.administrations,
        windows=tuple(dict.fromkeys(span.window.value for span in outline.windows)),
        species=subject.species,
        sex=subject.sex or "U",
        age_days=age_in_days(subject.age),
        weight_g=weight_g,
        genotype=subject.genotype,
        batch=outline.batch,
        anaesthesia=outline.anaesthesia,
        simulated=outline.simulated,
    )


def about_name(name: str) -> SessionAbout:
    """Return what the name of a file that could not be read says of its session."""
    named = dict(_NAMED.findall(name.replace("\\", "/")))
    stem = PurePosixPath(name.replace("\\", "/")).name.removesuffix(".nwb")
    return SessionAbout("", named.get("sub", ""), named.get("ses", stem), NO_START, ())


def age_in_days(age: str) -> float | None:
    """Return an ISO 8601 age in days, of a closed range the middle; None for an open range or other words.

    A year has 365.25 days and a month the twelfth part. Ages that do not count from birth are not ages here.
    """
    ends = [_days(part) for part in age.split("/")]
    if not 1 <= len(ends) <= 2 or any(each is None for each in ends):
        return None
    return math.fsum(each for each in ends if each is not None) / len(ends)


def _days(period: str) -> float | None:
    found = _PERIOD.fullmatch(period)
    if found is None or not any(found[unit] for unit in _DAYS):
        return None
    try:
        return math.fsum(
            days * float(found[unit].replace(",", ".")) for unit, days in _DAYS.items() if found[unit]
        )
    except ValueError:
        return None


def weight_in_g(words: str) -> float | None:
    """Return a weight in g; None without a unit, since files mean g and kg by bare numbers."""
    found = _WEIGHT.fullmatch(words.strip())
    try:
        grams = None if found is None else convert(float(found[1]), found[2].lower(), "g")
    except ValueError:
        return None
    return grams if grams and math.isfinite(grams) else None


def session_row(
    about: SessionAbout, source: Source, *, arm: str, order: int, n_neurons: int, exclusion: str = ""
) -> dict[str, Any]:
    """Return one row of ``SESSIONS`` as plain JSON values."""
    row = deciding_row(about.administrations)
    at_s = None if row is None or "timestamp_s" in row.missing else row.timestamp_s
    return {
        "dataset": about.dataset,
        "animal": about.animal,
        "session": about.session,
        "arm": arm,
        "order": order,
        "start_time": "" if about.start_time == NO_START else about.start_time.isoformat(),
        "time_of_day_h": _hour(about.start_time, at_s),
        "sex": about.sex,
        "age_days": about.age_days,
        "weight_g": about.weight_g,
        "genotype": about.genotype,
        "batch": about.batch,
        "anaesthesia": about.anaesthesia,
        "administrations": administrations_text(about.administrations),
        "administration_s": at_s,
        "windows": " ".join(about.windows) if not exclusion else "",
        "n_neurons": n_neurons,
        "included": not exclusion,
        "exclusion": exclusion,
        "source": source.name,
        "source_digest": source.digest,
        "asset_id": source.asset_id,
        "source_version": source.version,
        "simulated": about.simulated,
        "species": about.species,
    }


def _hour(start: datetime, at_s: float | None) -> float | None:
    """Return the hour of the day by the clock of the start; None for a start that nobody stated."""
    from nwbswitch.schemas.study_sessions import FILLERS

    if start in (NO_START, datetime.fromisoformat(FILLERS["start_time"])):
        return None
    try:
        moment = start + timedelta(seconds=at_s or 0.0)
    except OverflowError:
        return None
    return round(moment.hour + moment.minute / 60 + moment.second / 3600, 4)


def administrations_text(rows: Sequence[Administration]) -> str:
    """Return a drug log as JSON on one line, one object per administration."""
    return json.dumps([row.model_dump(mode="json", exclude_defaults=True) for row in rows])


def administrations_of(text: str, *, place: Place | None = None) -> tuple[Administration, ...]:
    """Return the drug log that `administrations_text` wrote; empty for an empty text.

    Raises
    ------
    TableError
        For text that is none.
    """
    if not text:
        return ()
    problem = f"holds {len(text)} characters"
    if len(text) <= MAX_JSON_CHARS:
        try:
            return _LOGS.validate_json(text)
        except ValueError as error:
            problem = str(error).partition("\n")[0]
    where = place or Place(item="sessions.administrations")
    raise TableError(
        [issue("bad-cell", f"The drug log of a session cannot be read: {problem}.", place=where)]
    )


def sessions_frame(rows: Iterable[dict[str, Any]]) -> pd.DataFrame | None:
    """Return rows as a table that fits ``SESSIONS``, ordered by animal and time; None without any."""
    known = list(rows)
    if not known:
        return None
    frame = SESSIONS.checked(pd.DataFrame(known, columns=list(SESSIONS.names)))
    ordered = frame.sort_values(["dataset", "animal", "order", "session"], kind="stable")
    return ordered.reset_index(drop=True)


def sessions_of_cells(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the sessions of a cells table without a table of sessions: arms and orders, and little else."""
    cells = CELLS.checked(cells)
    rows = []
    for (dataset, animal, session), own in cells.groupby(["dataset", "animal", "session"], sort=True):
        first = own.iloc[0]
        rows.append(
            {
                **dict.fromkeys(("start_time", "genotype", "batch", "anaesthesia", "administrations"), ""),
                **dict.fromkeys(("time_of_day_h", "age_days", "weight_g", "administration_s"), math.nan),
                "dataset": dataset,
                "animal": animal,
                "session": session,
                "arm": first["arm"],
                "order": first["order"],
                "sex": "U",
                "windows": " ".join(own["window"].unique()),
                "n_neurons": len(own[["plane", "neuron"]].drop_duplicates()),
                "included": True,
                "exclusion": "",
                "source": first["source"],
                "source_digest": first["source_digest"],
                "asset_id": first.get("asset_id", ""),
                "source_version": first.get("source_version", ""),
                "simulated": bool(own["simulated"].any()),
                "species": "",
            }
        )
    frame = sessions_frame(rows)
    if frame is None:
        raise TableError([issue("bad-cell", "The cells table has no rows.", place=Place(item="cells"))])
    return frame


def read_sessions_table(path: Path | str) -> pd.DataFrame:
    """Return a table of sessions from a CSV or Parquet file, or ``sessions.csv`` of a folder.

    Raises
    ------
    InputFileError, TableError
        If the file is no such table, or names a session twice, or holds a drug log that cannot be read.
    """
    path = Path(path)
    path = path / SESSIONS_FILE if path.is_dir() else path
    frame = SESSIONS.checked(read_table(path, text=SESSIONS.text_names), file=path)
    require_sessions(frame, file=path)
    return frame


def require_sessions(frame: pd.DataFrame, *, file: Path | None = None) -> None:
    """Raise unless every session that is included is there once, with a drug log that can be read.

    Raises
    ------
    TableError
        Naming what is wrong.
    """
    found: list[Issue] = []
    used = frame[frame["included"]]
    keys = ["dataset", "animal", "session"]
    twice = used[used.duplicated(keys)]
    for values in twice[keys].drop_duplicates().itertuples(index=False):
        problem = f"Session {'/'.join(map(str, values))} is there twice."
        found.append(issue("duplicate-id", problem, place=Place(file, item="sessions.session")))
    for row in frame.itertuples():
        item = f"{row.animal}/{row.session}.administrations"
        try:
            administrations_of(str(row.administrations), place=Place(file, item=item))
        except TableError as error:
            found += error.issues
    if found:
        raise TableError(found)


def write_sessions_file(sessions: pd.DataFrame | None, folder: Path) -> None:
    """Write the table into a folder of results; without one, take away that of earlier work."""
    if sessions is None:
        (folder / SESSIONS_FILE).unlink(missing_ok=True)
    else:
        write_csv(sessions, folder / SESSIONS_FILE)


def refuse_other_sessions(folder: Path, digests: Iterable[str]) -> None:
    """Raise unless the table in a folder, if there is one, is of files with these digests.

    Raises
    ------
    ExistingOutputError
        If it is of others, or no such table.
    """
    path = folder / SESSIONS_FILE
    if not path.exists():
        return
    try:
        others = set(read_sessions_table(path)["source_digest"]) - {*digests, ""}
    except (InputFileError, TableError):
        others = {""}
    if others:
        raise ExistingOutputError(
            f"{path} was made from other inputs. Choose another folder or give --overwrite."
        )
