"""The cells table on disk: sessions put away one by one as they are measured, then joined into one file."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from nwbswitch.analysis.session_cells import IDENTITY, SessionFacts, read_facts
from nwbswitch.analysis.session_tables import NO_START, SessionAbout
from nwbswitch.analysis.sources import OF_SERVER, Source
from nwbswitch.analysis.table_file import require_plausible
from nwbswitch.schemas.drug_log import arm_name, deciding_row
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError, NwbswitchError
from nwbswitch.schemas.files import PARTIAL, locked, replaced
from nwbswitch.schemas.issues import Issue, Place, Severity, issue
from nwbswitch.schemas.tables import CELLS

METADATA_KEY = b"nwbswitch"
"""Key of our record in the Parquet file's metadata."""
PARTS_SUFFIX = ".parts"
LOCK = "lock"
_OURS = re.compile(rf"(?:{re.escape(PARTIAL)}[0-9a-f]{{8}}-)?[0-9a-f]{{32}}\.parquet|{LOCK}")


@dataclass(frozen=True, slots=True)
class Parts:
    """A folder with one file per measured session, named by what the session's rows depend on."""

    folder: Path
    parameters: str
    """Recipe and version, in one text."""
    stated: Mapping[str, str]
    """Digest of the overrides of each source, by its name."""

    def path(self, source: Source) -> Path:
        """Return where the session of a source is, or will be."""
        own = (source.asset_id, source.digest, source.version, self.stated.get(source.name, ""))
        known = "\n".join((source.name, *own, self.parameters))
        return self.folder / f"{hashlib.sha256(known.encode()).hexdigest()[:32]}.parquet"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep the folder for this run; it goes when no session is left in it.

        Raises
        ------
        ExistingOutputError
            Another run has it.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(locked(self.folder / LOCK))
            except BlockingIOError:
                problem = f"{self.folder} is in use: the same table is being measured by another run."
                raise ExistingOutputError(f"{problem} Wait for its end, or choose another name.") from None
            try:
                yield
            finally:
                if not any(self.folder.glob("*.parquet")):
                    self.remove()

    def remove(self) -> None:
        """Remove what measuring put there, and the folder when nothing else is in it."""
        with suppress(OSError):
            for path in self.folder.iterdir():
                if _OURS.fullmatch(path.name):
                    path.unlink(missing_ok=True)
            self.folder.rmdir()

    def rows(self, source: Source) -> pd.DataFrame:
        """Return the rows of a session that is there.

        Raises
        ------
        InputFileError
            They are damaged, or not those that its facts tell of; what is there is removed.
        """
        import pyarrow as pa

        path = self.path(source)
        try:
            facts = read_facts(path)
            require_plausible(path)
            rows = CELLS.checked(
                pd.read_parquet(path, page_checksum_verification=True).assign(arm="", order=0)
            )
        except (OSError, ValueError, MemoryError, pa.ArrowException, NwbswitchError):
            rows = None
        if rows is not None and len(rows) == facts.n_rows:
            named = {tuple(each) for each in rows[[*IDENTITY, "source"]].drop_duplicates().to_numpy()}
            if named == {(*facts.identity, source.name)}:
                return rows
        path.unlink(missing_ok=True)
        problem = f"what was measured of {source.name} before is damaged and was removed."
        raise InputFileError(path, problem, "Run the same command again.")

    def put(self, source: Source, content: bytes) -> None:
        """Keep a measured session."""
        with replaced(self.path(source)) as partial:
            partial.write_bytes(content)

    def facts(self, source: Source) -> SessionFacts | None:
        """Return the facts of a session that is there; a damaged one is not."""
        path = self.path(source)
        try:
            return read_facts(path) if path.exists() else None
        except InputFileError:
            return None


def one_of_each(
    measured: Sequence[tuple[Source, SessionFacts]],
) -> tuple[list[tuple[Source, SessionFacts]], list[Issue]]:
    """Return each recording session once, and a finding for every source that holds one again."""
    kept: dict[tuple[str, str, str], tuple[Source, SessionFacts]] = {}
    by_digest: dict[str, str] = {}
    found: list[Issue] = []
    for source, facts in measured:
        # Servers may call two files by one version; digests of content tell, whoever made them.
        digest = "" if source.digest.startswith(OF_SERVER) else source.digest.removeprefix("sha256:")
        if facts.identity in kept:
            first = kept[facts.identity][0].name
            problem = f"Session {'/'.join(facts.identity)} was measured from {first} already."
            remedy = "Give one file per recording session; if they are two sessions, state session_id in the "
            remedy += "overrides."
        elif digest and digest in by_digest:
            problem = f"The file is the same as {by_digest[digest]}, which was measured already."
            remedy = "Give it once."
        else:
            kept[facts.identity] = (source, facts)
            by_digest[digest] = source.name
            continue
        found.append(issue("duplicate-id", problem, place=Place(source.name), remedy=remedy))
    return list(kept.values()), found


@dataclass(frozen=True, slots=True)
class ArmAndOrder:
    """What the rows of a session get from the other sessions."""

    arm: str
    order: int


def arms_and_orders(sessions: Sequence[SessionAbout]) -> list[ArmAndOrder]:
    """Return the arm of each session, with its dose where a dataset has several, and its rank.

    Sessions that could not be measured count too: they were held, and what was given in them was given.
    """
    doses: dict[tuple[str, str], set[float | None]] = {}
    starts: dict[tuple[str, str], list[datetime]] = {}
    for about in sessions:
        if about.start_time != NO_START:
            starts.setdefault((about.dataset, about.animal), []).append(about.start_time)
        row = deciding_row(about.administrations)
        if row is not None:
            doses.setdefault((about.dataset, row.substance.lower()), set()).add(row.dose)
    found = []
    for about in sessions:
        row = deciding_row(about.administrations)
        several = row is not None and len(doses[about.dataset, row.substance.lower()]) > 1
        earlier = [start < about.start_time for start in starts.get((about.dataset, about.animal), ())]
        found.append(ArmAndOrder(arm_name(about.administrations, with_dose=several), 1 + sum(earlier)))
    return found


def session_tables(
    parts: Parts, kept: Sequence[tuple[Source, SessionFacts]], given: Sequence[ArmAndOrder]
) -> Iterator[pd.DataFrame]:
    """Yield the finished rows of one session after the other, so that one at a time is in memory."""
    for (source, _), each in zip(kept, given, strict=True):
        yield parts.rows(source).assign(arm=each.arm, order=each.order)


def write_cells(target: Path, tables: Iterator[pd.DataFrame], record: dict[str, Any]) -> None:
    """Write the tables of all sessions into one Parquet file, a row group or more per session."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with replaced(target) as partial:
        writer: pq.ParquetWriter | None = None
        try:
            for frame in tables:
                if writer is None:
                    schema = pa.Schema.from_pandas(frame, preserve_index=False)
                    writer = pq.ParquetWriter(partial, schema, compression="zstd", write_page_checksum=True)
                writer.write_table(pa.Table.from_pandas(frame, schema=writer.schema, preserve_index=False))
            if writer is not None:
                writer.add_key_value_metadata({METADATA_KEY: json.dumps(record).encode()})
        finally:
            if writer is not None:
                writer.close()


def read_record(path: Path | str) -> dict[str, Any]:
    """Return what a cells file says of its making: ``provenance`` and ``issues``, or nothing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            metadata: dict[bytes, bytes] = file.metadata.metadata or {}
        value = json.loads(metadata.get(METADATA_KEY, b"{}"))
    except (OSError, ValueError, RecursionError, pa.ArrowException) as error:
        raise InputFileError(path, f"is no Parquet file of ours ({str(error)[:200]}).") from error
    return value if isinstance(value, dict) else {}


def stored_issues(record: dict[str, Any]) -> tuple[Issue, ...]:
    """Return the findings that a cells file keeps.

    Raises
    ------
    ValueError, TypeError, KeyError, AttributeError
        They are none.
    """
    return tuple(_issue(each) for each in record.get("issues", []))


def _issue(stored: dict[str, Any]) -> Issue:
    place = Place(stored.get("file") or None, stored.get("line"), stored.get("item", ""))
    severity = Severity(stored["severity"])
    return Issue(stored["code"], severity, stored["message"], place, stored.get("remedy", ""))
