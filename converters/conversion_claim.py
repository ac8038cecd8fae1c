"""One conversion at a time into one folder, also when some of its work runs on other machines."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from nwbswitch.converters.conversion_record import RECORDS
from nwbswitch.schemas.errors import ExistingOutputError, NwbswitchError
from nwbswitch.schemas.files import locked, remove_partials

_LOOK_EVERY_S = 2.0


class AbandonedError(NwbswitchError):
    """The conversion that this work is part of was stopped, or another one has taken its place."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right of one run to write into a folder; ends with the run, for all of its workers."""

    path: Path
    token: str

    def check(self) -> None:
        """Raise AbandonedError when the run has ended: what is half-written must not become a result."""
        try:
            held = self.path.read_text(encoding="ascii")
        except OSError:
            held = ""
        if held != self.token:
            raise AbandonedError("the conversion was stopped.")

    def checking(self) -> Callable[[], None]:
        """Return a function that may be called often and checks now and then."""
        last_s = time.monotonic()

        def check_sometimes() -> None:
            nonlocal last_s
            if time.monotonic() - last_s >= _LOOK_EVERY_S:
                last_s = time.monotonic()
                self.check()

        return check_sometimes


@contextmanager
def claimed(folder: Path) -> Iterator[Claim]:
    """Hold an output folder for this run, after removing what a killed one left in it.

    Raises
    ------
    ExistingOutputError
        Another run holds it.
    NwbswitchError
        It cannot be written to.
    """
    run = Claim(folder / RECORDS / "run", secrets.token_hex(8))
    with ExitStack() as held:
        try:
            held.enter_context(locked(folder / RECORDS / "lock"))
            run.path.write_text(run.token, encoding="ascii")
            remove_partials(folder)
        except BlockingIOError as error:
            raise ExistingOutputError(
                f"{folder}: another conversion is writing here. Wait for its end, or choose another folder."
            ) from error
        except OSError as error:
            raise not_written(folder, error) from error
        try:
            yield run
        except BaseException:
            # Workers that were ended in their work could not clean up after themselves.
            with suppress(OSError):
                remove_partials(folder)
            raise
        finally:
            run.path.unlink(missing_ok=True)


def not_written(path: Path, error: OSError) -> NwbswitchError:
    """Return the error about a file or folder that cannot be written."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    return NwbswitchError(f"{path}: cannot be written: {reason}. Nothing half-written is left.")
