"""The answer of `find` for a terminal: at most 100 columns, and always what was not looked into."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nwbswitch.analysis.catalogue.answers import Arm, Hit, neurons
from nwbswitch.analysis.catalogue.coverage import Coverage
from nwbswitch.analysis.catalogue.next_steps import NextStep, overrides_file
from nwbswitch.schemas.progress import readable_bytes

if TYPE_CHECKING:
    from nwbswitch.analysis.catalogue.find_result import FindResult

WIDTH = 100
MAX_CHARACTERS = 1000
"""Of one paragraph: archives and files may hold names of any length."""
MAX_RECORDINGS = 20
MAX_OF_DANDISET = 3
MAX_OVERRIDES = 8
"""Lines of overrides that are shown."""
_INDENT = "    "


def find_text(result: FindResult) -> str:
    """Return the whole answer."""
    answers = result.answers
    parts = [result.filters.words(), ""]
    if answers.arms:
        parts += [*_table(answers.arms), ""]
        for arm, step in zip(answers.arms, result.steps, strict=True):
            parts += _about(arm, step)
    if answers.hits:
        shown = _first(answers.hits)
        more = f" ({len(shown)} of {len(answers.hits)}; all with -o FILE.csv)"
        parts += ["", f"Recordings{more if len(shown) < len(answers.hits) else ''}"]
        for hit in shown:
            parts += _recording(hit)
    if not answers.arms and not answers.hits:
        parts.append(f"Nothing was found that holds {result.filters.drug.name}.")
    parts += ["", *coverage_lines(result.coverage, result.filters.drug.containing)]
    parts += [f"Written to {result.out}."] if result.out else []
    return "\n".join(_printable(line) for line in parts)


def _first(hits: Sequence[Hit]) -> list[Hit]:
    """Return a few recordings of each dandiset."""
    shown: list[Hit] = []
    counts: Counter[str] = Counter()
    for each in hits:
        counts[each.recording.dandiset] += 1
        if counts[each.recording.dandiset] <= MAX_OF_DANDISET:
            shown.append(each)
    return shown[:MAX_RECORDINGS]


def _table(arms: Sequence[Arm]) -> list[str]:
    head = ("dandiset", "drug", "animals", "usable", "neurons", "dose", "controls", "switch")
    rows = [head]
    for arm in arms:
        given = [each.given for each in arm.hits if each.given]
        doses = dict.fromkeys(
            f"{each.dose:g} {each.dose_unit} {each.route}".strip() for each in given if each.dose is not None
        )
        rows.append(
            (
                arm.dandiset,
                arm.drug,
                str(len(arm.animals)),
                str(len(arm.usable_animals)),
                str(arm.n_neurons),
                ", ".join(doses) or "-",
                ", ".join(f"{name} ({n_animals})" for name, n_animals in arm.controls) or "-",
                _verdict(arm),
            )
        )
    most = (8, 16, 7, 6, 8, 19, 14, 16)
    widths = [min(limit, max(len(row[place]) for row in rows)) for place, limit in enumerate(most)]
    return [
        "  ".join(_fitted(text, width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _verdict(arm: Arm) -> str:
    if arm.readiness.estimable:
        return "can be estimated"
    return "not read yet" if arm.readiness.reasons[0].code == "not-read" else "no"


def _about(arm: Arm, step: NextStep) -> list[str]:
    lines = [_wrapped(f"{arm.dandiset} {arm.drug}: {arm.name}", indent="")]
    if arm.mentions and arm.mentions[0].place != "name":
        lines.append(_wrapped(f"{arm.mentions[0].place}: {arm.mentions[0].quote}"))
    for each in arm.readiness.reasons:
        lines.append(_wrapped(f"why not: {each.words} [{each.code}]"))
    codes = Counter(each.code for hit in arm.hits if hit.given for each in hit.readiness.reasons)
    if codes:
        listed = ", ".join(f"{code} ({number})" for code, number in codes.items())
        lines.append(_wrapped(f"recordings that cannot be used: {listed}"))
    if arm.readiness.estimable:
        pseudo = "possible" if arm.readiness.pseudo else "not possible in enough animals"
        lines.append(f"{_INDENT}pseudo-injections (control N1): {pseudo}")
    # Commands and YAML are not wrapped: they are there to be copied.
    if step.command:
        lines.append(f"{_INDENT}next: {step.command}")
    if step.overrides:
        stated = step.overrides.splitlines()
        lines.append(f"{_INDENT}with these lines in {overrides_file(arm)}:")
        lines += [f"{_INDENT}  {line}" for line in stated[:MAX_OVERRIDES]]
        lines += (
            [f"{_INDENT}  # {len(stated) - MAX_OVERRIDES} more: --json"]
            if len(stated) > MAX_OVERRIDES
            else []
        )
    return lines


def _recording(hit: Hit) -> list[str]:
    given, recording = hit.given, hit.recording
    facts = recording.facts
    parts = [hit.drug]
    if given is not None:
        parts += [f"{given.dose:g} {given.dose_unit}".strip()] if given.dose is not None else []
        parts += [given.route] if given.route else []
        parts += [f"at {given.time_s:.0f} s"] if given.time_s is not None else []
    place = f"{recording.dandiset}@{recording.version}"
    lines = [
        _wrapped(f"{place}  {recording.path}", indent=""),
        _wrapped(f"{' '.join(parts)}; {neurons(facts)} neurons" if facts else " ".join(parts)),
        _wrapped(f"{hit.evidence} ({hit.confidence.value})"),
    ]
    if not hit.readiness.estimable:
        lines += [_wrapped(f"not usable: {each.words} [{each.code}]") for each in hit.readiness.reasons]
    return lines


def coverage_lines(coverage: Coverage, racemates: Sequence[str] = ()) -> list[str]:
    """Return what was looked through, what was not, and what was left out."""
    when = coverage.listed_at[:16].replace("T", " ")
    looked = [
        f"{_count(coverage.n_dandisets, 'dandiset')} of {coverage.archive}, listed {when} UTC",
        f"{coverage.n_passing} may have what is asked for beside the drug",
        f"the files of {coverage.n_looked_into} were looked into",
        f"of {_count(coverage.n_files, 'NWB file')} there {coverage.n_read} were read",
    ]
    looked += [f"{coverage.n_refused} cannot be read"] if coverage.n_refused else []
    lines = [_wrapped(f"Looked through: {'; '.join(looked)}.", indent="")]
    missing = []
    if coverage.n_silent:
        silent = _count(coverage.n_silent, "dandiset")
        missing.append(f"the files of {silent} whose texts do not name the drug (--deep looks into them)")
    if coverage.n_zarr:
        missing.append(f"{_count(coverage.n_zarr, 'file')} stored as Zarr")
    if coverage.waiting.n_files:
        plan = coverage.waiting
        missing.append(
            f"{_count(plan.n_files, 'file')} still to be read, with about {plan.n_requests} requests "
            f"for {readable_bytes(plan.n_bytes)}"
        )
    if coverage.n_undescribed:
        missing.append(f"{_count(coverage.n_undescribed, 'dandiset')} that the archive did not describe")
    if coverage.n_unlisted:
        missing.append(
            f"files of {_count(coverage.n_unlisted, 'version')} that are not listed as they are now"
        )
    if missing:
        lines.append(_wrapped(f"Not looked into, and may hold the drug: {'; '.join(missing)}.", indent=""))
    if coverage.unstated:
        left = ", ".join(f"{what} ({number})" for what, number in coverage.unstated)
        lines.append(_wrapped(f"Left out for not stating what is asked for: {left}.", indent=""))
    if coverage.named_otherwise:
        named = ", ".join(f"{why} ({number})" for why, number in coverage.named_otherwise)
        lines.append(_wrapped(f"Files that name the drug, which was not given: {named}.", indent=""))
    if racemates:
        lines.append(_wrapped(f"The racemate was not looked for: --drug {racemates[0]}.", indent=""))
    return lines


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _fitted(text: str, width: int) -> str:
    return (text if len(text) <= width else text[: width - 3] + "...").ljust(width)


def _wrapped(text: str, indent: str = _INDENT) -> str:
    line = " ".join(text.split())
    return textwrap.fill(
        line if len(line) <= MAX_CHARACTERS else f"{line[: MAX_CHARACTERS - 3]}...",
        WIDTH,
        initial_indent=indent,
        subsequent_indent=indent + "  ",
        break_on_hyphens=False,
    )


def _printable(text: str) -> str:
    """Return text without characters that could steer a terminal."""
    return "".join(each if each.isprintable() or each == "\n" else "?" for each in text)
