"""Lines that settle what files leave open, taken out of the findings that propose them and made one file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from nwbswitch.schemas.issues import Issue, Severity
from nwbswitch.schemas.overrides import STATE_IT

MAX_SOURCES = 20
"""Sources for which lines are shown; what many have in common is better stated once, in defaults."""


def without_proposal(found: Issue) -> Issue:
    """Return a finding without the lines that `merged_proposals` takes from it."""
    if not _is_asked(found):
        return found
    return replace(found, remedy=f"{found.remedy.partition(STATE_IT)[0]}See the lines below.")


def merged_proposals(issues: Sequence[Issue]) -> str:
    """Return the lines of all findings as one file of overrides, those that keep a source from use first.

    Notes are left out: what they propose is a guess that nobody needs to make. Of one source that several
    findings are about, lists are joined and of single values the first is taken. Empty without proposals.
    """
    import yaml

    needed = {str(each.place.file) for each in issues if each.severity is Severity.ERROR}
    asked = list(filter(_is_asked, issues))
    asked.sort(key=lambda each: str(each.place.file) not in needed)
    entries: dict[str, dict[str, Any]] = {}
    comments: dict[str, list[str]] = {}
    for each in asked:
        text = each.remedy.partition(STATE_IT)[2]
        for entry in yaml.safe_load(text)["sources"]:
            _join(entries.setdefault(entry["match"], {}), entry)
            said = [line for line in text.splitlines() if line.startswith("#")]
            comments.setdefault(entry["match"], []).extend(said)
    if not entries:
        return ""
    lines = ["sources:"]
    for match, entry in list(entries.items())[:MAX_SOURCES]:
        text = yaml.safe_dump([entry], sort_keys=False, default_flow_style=None, width=100)
        lines += [*text.rstrip("\n").splitlines(), *_each_once(comments[match])]
    if len(entries) > MAX_SOURCES:
        lines.append(
            f"# and {len(entries) - MAX_SOURCES} more sources; what holds for all goes into defaults"
        )
    return "\n".join(lines)


def _is_asked(found: Issue) -> bool:
    return STATE_IT in found.remedy and found.severity is not Severity.NOTE


def _join(kept: dict[str, Any], entry: dict[str, Any]) -> None:
    for key, value in entry.items():
        if isinstance(value, list):
            kept[key] = _each_once([*kept.get(key, []), *value])
        else:
            kept.setdefault(key, value)


def _each_once(values: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for each in values:
        if each not in found:
            found.append(each)
    return found
