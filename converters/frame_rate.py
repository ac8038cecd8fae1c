"""The frame rate that files and study agree on."""

from __future__ import annotations

from pathlib import Path

from nwbswitch.schemas.errors import IssuesError
from nwbswitch.schemas.issues import Place, issue

RATE_TOLERANCE = 0.005
"""Rates that differ by no more than this part are one: labs round them."""


def agreed_rate_hz(
    place: Path, own_hz: float | None, stated_hz: float | None, *, says: str, remedy: str
) -> float | None:
    """Return the rate, Hz, that the files (``own_hz``) and the study state; None when neither does.

    ``says`` are the words for the files, e.g. "The file states"; ``remedy`` is what to do when they differ.

    Raises
    ------
    IssuesError
        With ``rate-differs`` when both state one and they differ by more than 0.5 %.
    """
    if own_hz is None or stated_hz is None:
        return stated_hz if own_hz is None else own_hz
    if abs(own_hz - stated_hz) > RATE_TOLERANCE * stated_hz:
        problem = f"{says} {own_hz:g} Hz, the study states {stated_hz:g} Hz."
        raise IssuesError([issue("rate-differs", problem, place=Place(place), remedy=remedy)])
    return own_hz
