"""Where the numbers come from: methods, versions, inputs, and the tables to take away."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from nwbswitch.analysis.reporting.blocks import (
    Block,
    Bullets,
    Code,
    Folded,
    Heading,
    Link,
    Links,
    Section,
    Table,
    Text,
)
from nwbswitch.analysis.reporting.methods import methods, references
from nwbswitch.analysis.reporting.printed_numbers import counted, whole
from nwbswitch.analysis.runs.results_folder import Results
from nwbswitch.schemas.version import __version__

MAX_PLAIN_BYTES = 300_000
"""Larger tables are compressed."""
MAX_HELD_BYTES = 3_500_000
"""All tables of a page together; what goes beyond stays in the results folder."""
_MAX_SOURCES = 2000


def methods_section(results: Results) -> Section:
    """Return the methods as text to put into a paper."""
    pooled, modelled = bool(results.metas), bool(results.models)
    paragraphs = methods(results.result, results.measured, __version__, pooled=pooled, modelled=modelled)
    blocks: list[Block] = [Text(each) for each in paragraphs]
    blocks += [Heading("References"), Bullets(references(pooled=pooled, modelled=modelled))]
    return Section("methods", "Methods", "text to put into a paper, with citations", blocks)


def provenance_section(results: Results) -> Section:
    """Return versions, inputs and seed, the sources with their digests, and the tables."""
    sources = _sources(results.neurons)
    shown = sources[:_MAX_SOURCES]
    more = len(sources) - len(shown)
    caption = "Sources." + (f" {more} more are in sessions.csv." if more else "")
    tables = {
        "estimates": results.estimates,
        "sessions": results.sessions,
        "time_courses": results.time_courses,
        "course_features": results.course_features,
        "specifications": results.specifications,
        "clock_alignment": results.clocks,
    }
    links, kept = links_of({name: table for name, table in tables.items() if table is not None})
    blocks: list[Block] = [Heading("Tables to take away"), Links(links)]
    if kept:
        blocks.append(Text(f"Too large for this page, and in the results folder: {', '.join(kept)}.", "soft"))
    blocks += [
        Text("Rates of single neurons are in rates.parquet and cells.parquet of the results folder.", "soft"),
        Folded("Versions, inputs and seed", [Code(_json(results.result.get("provenance", {})))]),
        Folded(
            f"Sources ({whole(len(sources))})",
            [Table(caption, ["File", "Arm", "SHA-256", "Neurons"], shown, n_words=3)],
        ),
    ]
    if plan := results.result.get("plan"):
        blocks.append(Folded("Plan", [Code(_json(plan))]))
    gist = f"{counted(len(sources), 'source')}, nwbswitch {__version__}"
    return Section("provenance", "Provenance and tables", gist, blocks)


def links_of(tables: Mapping[str, pd.DataFrame]) -> tuple[list[Link], list[str]]:
    """Return tables as files held in the page, and the names of those that are too large for it.

    Parameters
    ----------
    tables
        By the stem of their file; smaller ones are taken first.
    """
    links, kept = {}, []
    budget = MAX_HELD_BYTES
    texts = {name: table.to_csv(index=False, float_format="%.10g").encode() for name, table in tables.items()}
    for name, text in sorted(texts.items(), key=lambda item: len(item[1])):
        packed = len(text) > MAX_PLAIN_BYTES
        data = gzip.compress(text, mtime=0) if packed else text
        encoded = base64.b64encode(data).decode()
        if len(encoded) > budget:
            kept.append(f"{name}.csv")
            continue
        budget -= len(encoded)
        file, kind = (f"{name}.csv.gz", "application/gzip") if packed else (f"{name}.csv", "text/csv")
        words = f"{file} ({counted(len(tables[name]), 'row')})"
        links[name] = Link(file, words, f"data:{kind};base64,{encoded}")
    return [links[name] for name in tables if name in links], kept


def _sources(neurons: pd.DataFrame) -> list[list[str]]:
    keys = ["source", "source_digest", "arm"]
    each = neurons.drop_duplicates([*keys, "plane", "neuron", "cell_type"])
    counts = each.groupby(keys, sort=True, observed=True).size().reset_index(name="n")
    return [
        [Path(row["source"]).name, row["arm"] or "none", row["source_digest"], whole(row["n"])]
        for row in counts.to_dict("records")
    ]


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)
