"""What stands on the page of the report, in its order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nwbswitch.analysis.reporting.blocks import Picture, Section, pictures_in
from nwbswitch.analysis.reporting.clocks import clocks_section
from nwbswitch.analysis.reporting.course_section import course_section
from nwbswitch.analysis.reporting.data_section import data_section
from nwbswitch.analysis.reporting.design_section import design_section
from nwbswitch.analysis.reporting.first_screen import FirstScreen, animal_lines, first_screen
from nwbswitch.analysis.reporting.model_section import model_section
from nwbswitch.analysis.reporting.models_page import models_screen, models_sections
from nwbswitch.analysis.reporting.picture_sections import cell_types_section, neurons_section
from nwbswitch.analysis.reporting.pooling_section import meta_blocks, pooling_section
from nwbswitch.analysis.reporting.provenance_section import methods_section, provenance_section
from nwbswitch.analysis.reporting.replication_page import replication_screen, replication_sections
from nwbswitch.analysis.reporting.specification_section import specification_section
from nwbswitch.analysis.reporting.verdict_sections import (
    control_section,
    estimates_section,
    naive_section,
    verdict_section,
)
from nwbswitch.analysis.reporting.words import control_tally
from nwbswitch.analysis.runs.results_folder import Results


@dataclass(frozen=True, slots=True)
class Page:
    """All that a page shows.

    Attributes
    ----------
    title
        Of the window.
    simulated
        Whether any source says that it is simulated.
    screens
        First screens: that of several data sets, when there are, before that of the one.
    sections
        The folded parts.
    animals
        What there is to say of each animal.
    """

    title: str
    simulated: bool
    screens: Sequence[FirstScreen]
    sections: Sequence[Section]
    animals: Mapping[str, Sequence[str]]

    @property
    def pictures(self) -> list[Picture]:
        """All figures of the page."""
        first = [screen.picture for screen in self.screens if screen.picture is not None]
        return first + [picture for section in self.sections for picture in pictures_in(section.blocks)]

    @property
    def cell_types(self) -> list[str]:
        """Cell types that can be hidden."""
        return list(dict.fromkeys(each.cell_type for each in self.pictures if each.cell_type))


def page(results: Results) -> Page:
    """Return the page of a results folder."""
    result = results.result
    tally = control_tally(result)
    sections = [
        verdict_section(results),
        data_section(results),
        design_section(results.design),
        replace(control_section(results), gist=tally.sentence),
        estimates_section(results),
        cell_types_section(results),
        course_section(results),
        neurons_section(results),
        pooling_section(results),
        specification_section(results),
        naive_section(results),
        model_section(results.models),
        clocks_section(results.clocks, n_sessions=result["n_sessions"]),
        methods_section(results),
        provenance_section(results),
    ]
    several = results.replication
    screens = [first_screen(results)]
    if several is not None:
        screens.insert(0, replication_screen(several, result.get("plan")))
        sections = [*replication_sections(several), *sections]
    return Page(
        title=f"{screens[0].name}: {screens[0].sentence}",
        simulated=bool(result["simulated"]),
        screens=screens,
        sections=[section for section in sections if section is not None],
        animals=animal_lines(results),
    )


def models_page(models: Mapping[str, Mapping[str, Any]], planned: Mapping[str, Any]) -> Page:
    """Return the page of a folder that holds models of a plan and no recordings."""
    plan = planned.get("plan")
    plan = plan if isinstance(plan, Mapping) else {}
    order = [str(each.get("name")) for each in plan.get("models") or ()]
    ordered = {name: models[name] for name in [*order, *models] if name in models}
    screen = models_screen(ordered, plan, planned.get("status"))
    return Page(
        title=screen.name,
        simulated=False,
        screens=[screen],
        sections=models_sections(ordered, plan),
        animals={},
    )


def replication_page(
    replication: Mapping[str, Any],
    metas: Mapping[str, Mapping[str, Any]],
    *,
    pages: Mapping[str, str] | None = None,
) -> Page:
    """Return the page of a folder that holds the answer of several data sets and none of its own.

    Parameters
    ----------
    replication
        Content of ``replication.json``.
    metas
        Pooled effects of the folder by name.
    pages
        Addresses of the pages of single data sets by name.
    """
    screen = replication_screen(replication, replication.get("plan"))
    sections = replication_sections(replication, pages=pages or {})
    held = set(replication.get("pooled") or ())
    others = {name: meta for name, meta in metas.items() if name not in held}
    if others:
        sections.append(Section("meta", "Pooled", ", ".join(others), meta_blocks(others, animals=set())))
    return Page(
        title=screen.sentence,
        simulated=bool(replication.get("simulated")),
        screens=[screen],
        sections=sections,
        animals={},
    )
