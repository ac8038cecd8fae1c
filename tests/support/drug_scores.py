"""Labelled texts about drugs, and how well the reader's answers agree with their labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nwbswitch.schemas.drug_log import Administration
from nwbswitch.schemas.drug_reading.evidence import Statement
from nwbswitch.schemas.drug_reading.reading import read_drugs

FIELDS = ("substance", "dose", "unit", "route", "time_s")
PLACES = {
    "session": "/session_description",
    "pharmacology": "/general/pharmacology",
    "study": "/general/experiment_description",
    "keywords": "/general/keywords",
    "notes": "/general/notes",
    "surgery": "/general/surgery",
    "animal": "/general/subject/description",
    "slices": "/general/slices",
    "id": "/general/session_id",
    "file": "file name",
    "name": "/intervals/x",
}


@dataclass(slots=True)
class Score:
    """Right, wrong and missed values of each field; texts that went wrong, in words."""

    right: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FIELDS, 0))
    wrong: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FIELDS, 0))
    missed: dict[str, int] = field(default_factory=lambda: dict.fromkeys(FIELDS, 0))
    mistakes: list[str] = field(default_factory=list)

    def precision(self, name: str) -> float:
        """Right among those given."""
        return self.right[name] / (self.right[name] + self.wrong[name])

    def recall(self, name: str) -> float:
        """Right among those labelled."""
        return self.right[name] / (self.right[name] + self.missed[name])


def labelled_texts() -> list[dict[str, Any]]:
    """Return the texts of all sets with their labels."""
    folder = Path(__file__).parent
    return [
        text
        for file in sorted(folder.glob("drug_texts_?.yaml"))
        for text in yaml.safe_load(file.read_text(encoding="utf-8"))
    ]


def score(texts: Iterable[dict[str, Any]]) -> Score:
    """Return how well the reader's answers agree with the labels."""
    total = Score()
    for each in texts:
        given = answers(each)
        before = len(total.mistakes)
        for label in each["given"]:
            alike = [one for one in given if one["substance"] == label["substance"]]
            best = max(alike, key=lambda one: sum(_same(one, label, name) for name in FIELDS), default={})
            if best:
                given.remove(best)
            _count(total, best, label)
        for one in given:
            _count(total, one, {})
        if total.mistakes[before:]:
            total.mistakes[before:] = [f"{each['text']!r}: {', '.join(total.mistakes[before:])}"]
    return total


def answers(text: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what the reader takes from a labelled text, as its labels are written."""
    place = PLACES[text.get("place", "session")]
    times, stops = tuple(text.get("times", ())), tuple(text.get("stops", ()))
    reading = read_drugs([Statement(place, text["text"], times, stops)], name="x.nwb")
    return [_answer(row) for row in reading.administrations]


def _answer(row: Administration) -> dict[str, Any]:
    amounts = (
        (row.dose, row.dose_unit),
        (row.concentration, row.concentration_unit),
        (row.infusion_rate, row.infusion_rate_unit),
    )
    dose, unit = next((each for each in amounts if each[0] is not None), (None, ""))
    time_s = None if "timestamp_s" in row.missing else row.timestamp_s
    found = {"substance": row.substance, "dose": dose, "unit": unit, "route": row.route, "time_s": time_s}
    return {name: value for name, value in found.items() if value not in (None, "")}


def _same(answer: dict[str, Any], label: dict[str, Any], name: str) -> bool:
    given, wanted = answer.get(name), label.get(name)
    if isinstance(given, float) and isinstance(wanted, (int, float)):
        return abs(given - wanted) <= 1e-9 * max(1.0, abs(wanted))
    return given == wanted


def _count(total: Score, answer: dict[str, Any], label: dict[str, Any]) -> None:
    for name in FIELDS:
        if name in answer or name in label:
            if _same(answer, label, name):
                total.right[name] += 1
                continue
            total.wrong[name] += name in answer
            total.missed[name] += name in label
            total.mistakes.append(f"{name} {answer.get(name)!r} instead of {label.get(name)!r}")
