"""The local catalogue of archives: an SQLite file that several processes may use at once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from pydantic import ValidationError

from nwbswitch.analysis.access.byte_cache import VARIABLE, cache_folder, user_cache
from nwbswitch.analysis.catalogue.schema import open_catalogue, unusable
from nwbswitch.schemas.errors import InputFileError

FILE_NAME = "catalogue.sqlite"


def default_catalogue() -> Path:
    """Return where the catalogue lies when nothing else is said: in the folder for caches.

    Raises
    ------
    ValueError
        When the user keeps no caches.
    """
    if user_cache() is None:
        raise ValueError(f"{VARIABLE} is off: name the file of the catalogue (--catalogue)")
    return cache_folder() / FILE_NAME


class Catalogue:
    """An open catalogue; one thread of one process uses it.

    Parameters
    ----------
    path
        The file; made where there is none.

    Raises
    ------
    InputFileError
        When it is damaged, not ours, of a newer version, or cannot be written.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._connection = open_catalogue(self.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if isinstance(error, ValidationError | json.JSONDecodeError):
            problem = "is a damaged catalogue: it holds values that nwbswitch never writes."
            raise InputFileError(self.path, problem, "Remove it, or name another file.") from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection inside a transaction: what the block does is kept whole or not at all."""
        with self._told():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection with everything as it was at one moment, whatever other processes write."""
        with self._told():
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                self._connection.execute("COMMIT")

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of one query."""
        with self._told():
            return self._connection.execute(query, values).fetchall()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError:
            raise
        except sqlite3.DatabaseError as error:
            raise unusable(self.path, error) from error


def require_catalogue(path: Path | str) -> None:
    """Raise unless there is a catalogue: nothing can be answered without asking the archive.

    Raises
    ------
    InputFileError
        There is none.
    """
    if not Path(path).is_file():
        raise InputFileError(path, "is not there yet.", "Run once without --offline.")
