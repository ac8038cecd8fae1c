"""One of several channels or regions, by its number or its name; never the first by default."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nwbswitch.schemas.errors import InputFileError


def chosen(
    path: Path, key: str, wanted: int | str | None, *, numbers: Sequence[int], names: Sequence[str]
) -> int:
    """Return the place of what is wanted among what there is.

    Parameters
    ----------
    path
        Name for errors.
    key
        Name of the key in the study file, e.g. channel.
    wanted
        A number, or a name; may be left out when there is only one.
    numbers, names
        What there is; a name may be empty.

    Raises
    ------
    InputFileError
        Listing what there is, when nothing is wanted of several, or what is not there, or an ambiguous name.
    """
    there = ", ".join(
        f"{number} ({name!r})" if name else str(number) for number, name in zip(numbers, names, strict=True)
    )
    if wanted is None:
        if len(numbers) == 1:
            return 0
        raise InputFileError(path, f"holds several {key}s: {there}.", f"Choose one: {key}: {numbers[0]}.")
    fits = [place for place, number in enumerate(numbers) if str(number) == str(wanted).strip()]
    fits = fits or [
        place for place, name in enumerate(names) if name and name.casefold() == str(wanted).casefold()
    ]
    if len(fits) == 1:
        return fits[0]
    reason = f"has several {key}s called" if fits else f"has no {key}"
    raise InputFileError(path, f"{reason} {wanted!r}; it holds {there}.", f"Give the number as {key}.")


def chosen_plane(path: Path, wanted: int, n_planes: int) -> int:
    """Return the place of a plane, which is counted from 1.

    Raises
    ------
    InputFileError
        When there is no such plane.
    """
    if 1 <= wanted <= n_planes:
        return wanted - 1
    raise InputFileError(
        path, f"has no plane {wanted}; it has {n_planes}.", f"Planes are counted from 1 to {n_planes}."
    )
