"""Blinding: arms under code names, so that data can be judged before it is known who received what.

Coded are the arms, and all that would tell them: sessions, sources and the drug log. Every coded arm is
compared with its own pseudo-injection, since a reference would tell which arm it is. What cannot be
hidden is the effect itself: an arm in which activity falls tells.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

_TELLING = ("source", "source_digest", "asset_id", "source_version", "object_path")
_LOGGED = ("administrations", "source", "source_digest", "asset_id", "source_version", "exclusion")


@dataclass(frozen=True, slots=True)
class BlindKey:
    """Which code stands for which arm and session.

    Attributes
    ----------
    arms
        Arm by code.
    sessions
        Session by animal and code, both in one text ``animal/code``.
    """

    arms: Mapping[str, str]
    sessions: Mapping[str, str]

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"arms": dict(self.arms), "sessions": dict(self.sessions)}


def new_key(sessions: pd.DataFrame, *, shuffled: Sequence[int] | None = None) -> BlindKey:
    """Return codes for the arms and sessions of a study, arms in an order that nobody knows.

    Parameters
    ----------
    sessions
        One row per recording session, columns animal, session, arm and order.
    shuffled
        Order of the arms; random from the system's source by default.
    """
    arms = sorted(set(sessions["arm"]))
    places = list(range(len(arms))) if shuffled is None else list(shuffled)
    if shuffled is None:
        secrets.SystemRandom().shuffle(places)
    codes = {f"arm {_letter(place)}": arms[arm] for place, arm in enumerate(places)}
    coded = {}
    for animal, own in sessions.sort_values(["animal", "order", "session"]).groupby("animal", sort=True):
        for rank, session in enumerate(dict.fromkeys(own["session"]), start=1):
            coded[f"{animal}/session {rank}"] = str(session)
    return BlindKey(codes, coded)


def blinded_cells(cells: pd.DataFrame, key: BlindKey) -> pd.DataFrame:
    """Return the cells table with coded arms and sessions, and without what tells them."""
    coded = _coded(cells, key)
    return coded.assign(**{name: "" for name in _TELLING if name in coded})


def blinded_sessions(sessions: pd.DataFrame, key: BlindKey) -> pd.DataFrame:
    """Return the sessions table with coded arms and sessions, and without drug logs and sources."""
    coded = _coded(sessions, key)
    coded = coded.assign(**{name: "" for name in _LOGGED if name in coded})
    return coded.assign(administrations="[]") if "administrations" in coded else coded


def _coded(table: pd.DataFrame, key: BlindKey) -> pd.DataFrame:
    arms = {arm: code for code, arm in key.arms.items()}
    sessions = {}
    for code, session in key.sessions.items():
        animal, _, name = code.rpartition("/")
        sessions[animal, session] = name
    pairs = zip(table["animal"], table["session"], strict=True)
    return table.assign(
        arm=table["arm"].map(arms), session=[sessions[animal, session] for animal, session in pairs]
    )


def _letter(place: int) -> str:
    text = ""
    while place >= 0:
        text = chr(ord("A") + place % 26) + text
        place = place // 26 - 1
    return text
