"""A repeated run beside its record: what changed of inputs, software and numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nwbswitch.analysis.runs.run_record import numbers_of, rows_of

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Comparison:
    """A run compared with the one whose record it repeats.

    Attributes
    ----------
    inputs
        What is different about the inputs, in words; empty when they are the same.
    versions
        What is different about the software.
    numbers
        What is different about the results.
    n_outputs
        Files of results that were compared.
    """

    inputs: tuple[str, ...]
    versions: tuple[str, ...]
    numbers: tuple[str, ...]
    n_outputs: int

    @property
    def same(self) -> bool:
        """Whether all numbers are the same."""
        return not self.numbers

    def summary(self) -> str:
        """Return the comparison in words."""
        lines = [f"input changed: {each}" for each in self.inputs]
        lines += [f"software changed: {each}" for each in self.versions]
        lines += [f"numbers changed: {each}" for each in self.numbers]
        if self.same:
            lines.append(f"The same numbers as recorded, in {self.n_outputs} files.")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "same": self.same,
            "inputs": list(self.inputs),
            "versions": list(self.versions),
            "numbers": list(self.numbers),
            "n_outputs": self.n_outputs,
        }


def compared(
    then: Mapping[str, Any], now: Mapping[str, Any], *, folder_then: Path | None, folder_now: Path
) -> Comparison:
    """Return how a repeated run differs from its record.

    Parameters
    ----------
    then, now
        The two records.
    folder_then, folder_now
        Their results; where the earlier ones are still there, the largest differences are told.
    """
    return Comparison(
        inputs=tuple(_inputs(then["sources"], now["sources"])),
        versions=tuple(_versions(then, now)),
        numbers=tuple(_numbers(then["outputs"], now["outputs"], folder_then, folder_now)),
        n_outputs=len(now["outputs"]),
    )


def _inputs(then: list[dict[str, str]], now: list[dict[str, str]]) -> list[str]:
    one = {(each.get("dataset", ""), each["name"]): each for each in then}
    two = {(each.get("dataset", ""), each["name"]): each for each in now}
    found = []
    for key in sorted({*one, *two}):
        name = "/".join(filter(None, key))
        if key not in two:
            found.append(f"{name} is not there any more")
        elif key not in one:
            found.append(f"{name} is new")
        elif one[key]["digest"] != two[key]["digest"]:
            found.append(f"{name} has other content than recorded")
    return found


def _versions(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    def all_of(held: Mapping[str, Any]) -> dict[str, str]:
        libraries = held.get("libraries")
        own = {"nwbswitch": str(held.get("nwbswitch")), "python": str(held.get("python"))}
        return own | (libraries if isinstance(libraries, dict) else {})

    one, two = all_of(then), all_of(now)
    names = sorted(name for name in {*one, *two} if one.get(name) != two.get(name))
    return [f"{name} {one.get(name, 'absent')} then, {two.get(name, 'absent')} now" for name in names]


def _numbers(
    then: Mapping[str, str], now: Mapping[str, str], folder_then: Path | None, folder_now: Path
) -> list[str]:
    found = []
    for name in sorted({*then, *now}):
        if name not in now:
            found.append(f"{name} was not made")
        elif name not in then:
            found.append(f"{name} was not made then")
        elif then[name] != now[name]:
            earlier = None if folder_then is None else folder_then / name
            known = earlier is not None and earlier.is_file()
            found.append(f"{name}{_difference(earlier, folder_now / name) if known and earlier else ''}")
    return found


def _difference(one: Path, two: Path) -> str:
    """Return how many numbers of two results differ and by how much."""
    first, second = (list(_values(each)) for each in (one, two))
    if len(first) != len(second):
        return f": {len(first)} values then, {len(second)} now"
    differing = [(a, b) for a, b in zip(first, second, strict=True) if a != b]
    numbers = [(a, b) for a, b in differing if isinstance(a, float) and isinstance(b, float)]
    words = [(a, b) for a, b in differing if not (isinstance(a, float) and isinstance(b, float))]
    parts = []
    if numbers:
        largest = max(abs(a - b) / max(abs(a), abs(b), 1e-300) for a, b in numbers)
        parts.append(f"{len(numbers)} of {len(first)} numbers, by {largest:.2g} of their size at most")
    parts += [f"{a!s:.60} became {b!s:.60}" for a, b in words[:_SHOWN]]
    return f": {'; '.join(parts)}" if parts else ""


def _values(path: Path) -> Iterable[float | str]:
    if path.suffix == ".json":
        yield from _flat(numbers_of(path))
        return
    for row in rows_of(path):
        for text in row:
            yield _number(text)


def _flat(value: Any) -> Iterable[float | str]:
    if isinstance(value, dict):
        for name in sorted(value):
            yield from _flat(value[name])
    elif isinstance(value, list):
        for each in value:
            yield from _flat(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield float(value)
    else:
        yield str(value)


def _number(text: str) -> float | str:
    try:
        value = float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else text
