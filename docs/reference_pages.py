"""Write the reference pages that follow from the code: tables, issues, drug log, vocabularies, commands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from nwbswitch.cli import commands
from nwbswitch.schemas.clock_table import CLOCKS
from nwbswitch.schemas.drug_table import DRUG_LOG_COLUMNS
from nwbswitch.schemas.issues import CATALOGUE
from nwbswitch.schemas.streams import FORMATS
from nwbswitch.schemas.substances import substances
from nwbswitch.schemas.tables import TABLES


def write_reference_pages(folder: Path) -> None:
    """Write all generated pages into ``folder``."""
    folder.mkdir(exist_ok=True)
    pages = {
        "tables.md": _tables(),
        "issues.md": _issues(),
        "drug_log_columns.md": _drug_log(),
        "substances.md": _substances(),
        "formats.md": _formats(),
        "commands.md": _commands(),
    }
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _tables() -> str:
    parts = ["# Tables\n\nWhat the steps hand to each other; types are checked when a table is read.\n"]
    for spec in (*TABLES.values(), CLOCKS):
        rows = [
            (
                f"`{column.name}`",
                column.dtype,
                column.unit or "",
                column.meaning + (" May be empty." if column.nullable else ""),
            )
            for column in spec.columns
        ]
        parts.append(
            f"## {spec.name}\n\nOne row is {spec.row}.\n\n"
            + _grid(("column", "type", "unit", "meaning"), rows)
        )
    return "\n".join(parts)


def _issues() -> str:
    rows = [(f"`{code}`", kind.severity.value, kind.meaning) for code, kind in CATALOGUE.items()]
    return "# Findings\n\nEvery finding has one of these codes.\n\n" + _grid(
        ("code", "severity", "meaning"), rows
    )


def _drug_log() -> str:
    rows = [(f"`{c.name}`", c.dtype, c.unit or "", c.description) for c in DRUG_LOG_COLUMNS]
    return (
        "# Drug log columns\n\nColumns of the events table `drug_administrations` in an NWB file.\n\n"
        + _grid(("column", "type", "unit", "meaning"), rows)
    )


def _substances() -> str:
    rows = [
        (
            each.name,
            ", ".join(each.synonyms),
            each.formula or "",
            each.drug_class or "",
            each.chebi or "",
            "; ".join(sorted(set(each.source.values()))),
        )
        for each in substances().values()
    ]
    return (
        "# Substances\n\nAn identifier is given only where its source is stored; otherwise it is blank.\n\n"
        + _grid(("name", "synonyms", "formula", "class", "ChEBI", "source"), rows)
    )


def _formats() -> str:
    parts = [
        "# Keys of every format\n\nWhat a stream of `study.yaml` may say, by format. Keys that several "
        "formats share mean the same in all.\n"
    ]
    for name, model in FORMATS.items():
        rows = [
            (
                f"`{key}`",
                "yes" if field.is_required() else "",
                "" if field.is_required() or field.default in (None, ()) else f"`{field.default}`",
                field.description or _OWN_WORDS.get(key, ""),
            )
            for key, field in model.model_fields.items()
            if key != "format"
        ]
        parts.append(
            f"## {name}\n\n{model.__doc__}\n\n" + _grid(("key", "needed", "default", "meaning"), rows)
        )
    return "\n".join(parts)


_OWN_WORDS = {"path": "The file or folder; a template or pattern."}


def _commands() -> str:
    parts = ["# Commands\n"]
    for name in sorted(commands.commands):
        command = commands.commands[name]
        with click.Context(command, info_name=f"nwbswitch {name}") as context:
            parts.append(f"## {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
