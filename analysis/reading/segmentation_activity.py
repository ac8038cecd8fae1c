"""The activity of one plane segmentation: which of its series is measured, with which neuropil and clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from nwbswitch.analysis.reading.activity_choice import (
    Candidate,
    chosen_of,
    compete,
    rank_of,
    same_frames,
    share_rows,
)
from nwbswitch.analysis.reading.censors import Censors
from nwbswitch.analysis.reading.clock_reader import ClockReader
from nwbswitch.analysis.reading.imaging import ImagingFacts, imaging_facts
from nwbswitch.analysis.reading.kinds import Role, meaning_of, own_name
from nwbswitch.analysis.reading.neurons import roi_neurons
from nwbswitch.analysis.reading.outline import ActivityKind, NeuronTable, Plane, Trace
from nwbswitch.analysis.reading.series import SEGMENTATION_TYPE, Series, imaging_rate_hz, table_rows
from nwbswitch.analysis.reading.stated_activity import activity_of
from nwbswitch.analysis.reading.stated_neurons import restated
from nwbswitch.analysis.reading.stored_values import plain
from nwbswitch.analysis.reading.traces import layout_of, trace_of
from nwbswitch.schemas.issues import Issue, Place, issue
from nwbswitch.schemas.overrides import FILL_IN, NO_NEUROPIL, Activity, Override, proposal

if TYPE_CHECKING:
    import h5py

_KINDS = {Role(kind.value): kind for kind in ActivityKind}
_LEVELS = (Role.NEUROPIL, Role.SECOND_CHANNEL, Role.BASELINE)
"""Roles whose numbers are fluorescence, should a user want them measured."""
CAIMAN_BACKGROUND = "Background_Fluorescence_Response"
"""Series of CaImAn's own exporter, whose ``RoiResponseSeries`` is the denoised ``estimates.C``."""


@dataclass(frozen=True, slots=True)
class FileReading:
    """One reading of one open file: what all its segmentations share."""

    nwb: h5py.File
    name: str
    override: Override
    found: list[Issue]
    clocks: ClockReader
    censors: Censors
    unused: list[str] = field(default_factory=list)
    """Traces that are not measured unasked."""

    def find(self, code: str, problem: str, path: str, remedy: str = "") -> None:
        """Add a finding about an object of the file."""
        self.found.append(issue(code, problem, place=Place(self.name, item=path), remedy=remedy))


class SegmentationActivity:
    """The series of one plane segmentation, and which of them is measured."""

    def __init__(self, reading: FileReading, path: str, members: Sequence[Series]) -> None:
        self.reading = reading
        self.path = path
        self.paths = [series.path for series in members]
        self.suffix = path.rpartition("/")[2].removeprefix(SEGMENTATION_TYPE)
        self.segmentation = members[0].segmentation
        self.rate_hz = imaging_rate_hz(self.segmentation)
        self.facts: ImagingFacts | None = None
        self.neurons: NeuronTable | None = None
        self.said = activity_of(reading.override.activity, path, self.paths)
        self.candidates = [] if self.said.leave_out else self._candidates(members)

    def measured(self) -> list[tuple[Plane, Series]]:
        """Return what is measured, each with its series."""
        chosen = self._stated() or self._chosen()
        for each in chosen:
            self.reading.found.extend(each.problems)
        self._tell_of_parts(chosen)
        planes = [(self._plane(each), each.series) for each in chosen]
        return [(plane, series) for plane, series in planes if plane is not None]

    def _stated(self) -> list[Candidate]:
        """Return the series that the overrides name; two of the same ROIs and times are asked about."""
        named = {entry.series for entry in self.reading.override.activity} & set(self.paths)
        stated = [each for each in self.candidates if each.series.path in named]
        for path in sorted(named - {each.series.path for each in stated}):
            if not self.said.leave_out:
                problem = "The overrides name this series, which has no numbers."
                self.reading.find("override-unused", problem, path)
        for each in stated:
            self._place_in_time(each)
        rivals = [each for each in stated if any(compete(each, one) for one in stated if one is not each)]
        if rivals:
            self._ask_which(rivals, "The overrides name all of them.")
        return stated

    def _candidates(self, members: Sequence[Series]) -> list[Candidate]:
        by_caiman = any(own_name(series.path, self.suffix) == CAIMAN_BACKGROUND for series in members)
        found = []
        for series in members:
            problems: list[Issue] = []
            orientation = self._said_of(series).orientation
            layout = layout_of(series, orientation=orientation, name=self.reading.name, found=problems)
            meaning = meaning_of(series.words(self.suffix))
            if by_caiman and meaning.role is Role.RAW and not meaning.is_stated:
                meaning = replace(meaning, role=Role.DENOISED)
            if layout is not None or problems:
                found.append(Candidate(series, meaning, layout, problems=problems))
        return found

    def _said_of(self, series: Series) -> Activity:
        return activity_of(self.reading.override.activity, self.path, self.paths, series=series.path)

    def _place_in_time(self, each: Candidate) -> None:
        if each.layout is not None and each.clock is None:
            each.clock = self.reading.clocks.clock(
                each.series.group,
                each.layout.n_frames,
                stated=self._said_of(each.series),
                imaging_rate_hz=self.rate_hz,
                found=each.problems,
            )

    def _of(self, role: Role) -> list[Candidate]:
        return [each for each in self.candidates if each.meaning.role is role]

    def _chosen(self) -> list[Candidate]:
        """Return what is measured where no series is stated."""
        neuropils = self._of(Role.NEUROPIL)
        if self.said.kind is not None:
            wanted = self._of(Role(self.said.kind))
            if self.candidates and not wanted:
                problem = f"The overrides ask for {self.said.kind} traces, and no series here is called so."
                self.reading.find("override-unused", problem, self.path, listed(self.paths))
            pool = [replace(each, meaning=replace(each.meaning, role=Role.DFF)) for each in wanted]
        else:
            pool = [each for each in self.candidates if rank_of(each, neuropils) is not None]
            pool = [each for each in pool if not self._is_beaten(each, pool, neuropils)]
        for each in pool:
            self._place_in_time(each)
        choice = chosen_of(pool, neuropils)
        for group in choice.ambiguous:
            self._ask_which(group)
        chosen = list(choice.candidates)
        if self.said.kind is not None:
            meanings = {each.series.path: each.meaning for each in self.candidates}
            chosen = [replace(each, meaning=meanings[each.series.path]) for each in chosen]
        for each in self._of(Role.BASELINE) if chosen else []:
            self._place_in_time(each)
            if not any(compete(each, other) for other in chosen):
                self._ask_which((*chosen, each), "It is resting fluorescence, or a part of the recording.")
        if not chosen and not choice.ambiguous:
            quiet = [each for each in self.candidates if each.meaning.role not in (Role.NEUROPIL, *_KINDS)]
            quiet += self._of(Role.DENOISED) + self._of(Role.DECONVOLVED)
            self.reading.unused.extend(
                f"{own_name(each.series.path, self.suffix)} ({each.meaning.role})" for each in quiet
            )
        return chosen

    def _is_beaten(self, each: Candidate, pool: Sequence[Candidate], neuropils: Sequence[Candidate]) -> bool:
        """Whether a better kind of the same frames is there, so that its clock need not be looked at."""
        own = rank_of(each, neuropils)
        return any(
            (rank_of(other, neuropils) or (9, 9)) < (own or (9, 9)) and same_frames(each, other)
            for other in pool
        )

    def _ask_which(self, group: Sequence[Candidate], why: str = "Nothing tells them apart.") -> None:
        paths = [each.series.path for each in group]
        kind = group[0].meaning.role
        problem = f"Several series could be the activity of these ROIs ({kind}): {', '.join(paths)}. {why}"
        fields = {"series": paths[0], "kind": kind.value} if kind in _KINDS else {"series": paths[0]}
        remedy = proposal(self.reading.name, {"activity": [fields]})
        remedy += f"\n# or instead: {plain(', '.join(paths[1:]))}"
        self.reading.find("ambiguous-activity", problem, self.path or paths[0], remedy)

    def _tell_of_parts(self, chosen: Sequence[Candidate]) -> None:
        parts = [each.series.path for each in chosen if any(_is_other_part(each, one) for one in chosen)]
        if parts:
            problem = f"The recording of these ROIs is in {len(parts)} parts: {', '.join(parts)}."
            remedy = "Each is measured by itself, against the baseline that lies in it."
            self.reading.find("activity-in-parts", problem, self.path, remedy)

    def _plane(self, each: Candidate) -> Plane | None:
        layout, clock, series = each.layout, each.clock, each.series
        kind = self._kind(each)
        if layout is None or clock is None or kind is None:
            return None
        said, reading = self._said_of(series), self.reading
        subtracted = each.meaning.neuropil_subtracted
        if said.neuropil_subtracted is not None:
            subtracted = said.neuropil_subtracted
        n_rows = max(int(layout.rows.max()) + 1, table_rows(self.segmentation) or 0)
        facts = self._imaging_facts()
        return Plane(
            name=self.path.rpartition("/")[2] or "plane",
            traces=trace_of(series, layout, kind),
            neuropil=self._neuropil(each, said, subtracted=subtracted) if kind is ActivityKind.RAW else None,
            neuropil_subtracted=subtracted,
            deconvolved=self._deconvolved(each),
            clock=clock,
            rows=layout.rows,
            neurons=restated(self._neurons(n_rows, facts), reading.override),
            indicator=reading.override.indicator or facts.indicator,
            censors=reading.censors.of_plane(
                series, n_frames=layout.n_frames, suffix=self.suffix, pixel_um=facts.pixel_um
            ),
        )

    def _imaging_facts(self) -> ImagingFacts:
        if self.facts is None:
            reading = self.reading
            self.facts = imaging_facts(reading.nwb, self.segmentation, found=reading.found, name=reading.name)
        return self.facts

    def _neurons(self, n_rows: int, facts: ImagingFacts) -> NeuronTable:
        if self.neurons is None or len(self.neurons.accepted) < n_rows:
            reading = self.reading
            self.neurons = roi_neurons(
                reading.nwb,
                self.segmentation,
                n_rows,
                found=reading.found,
                name=reading.name,
                accepted=reading.override.accepted,
                facts=facts,
            )
        return self.neurons

    def _kind(self, each: Candidate) -> ActivityKind | None:
        said = self._said_of(each.series)
        if said.kind is not None:
            return ActivityKind(said.kind)
        role = each.meaning.role
        if role in _KINDS or role in _LEVELS:
            return _KINDS.get(role, ActivityKind.RAW)
        problem = "Its words do not say what its numbers are."
        fields = {"series": each.series.path, "kind": FILL_IN}
        remedy = proposal(self.reading.name, {"activity": [fields]})
        self.reading.find("ambiguous-activity", problem, each.series.path, remedy)
        return None

    def _neuropil(self, each: Candidate, said: Activity, *, subtracted: bool) -> Trace | None:
        """Return the neuropil of raw traces; one that does not fit them is an error."""
        if said.neuropil == NO_NEUROPIL or (subtracted and not said.neuropil):
            return None
        there = [one for one in self.candidates if one.series.path == said.neuropil]
        there = there if said.neuropil else self._of(Role.NEUROPIL)
        if said.neuropil and not there:
            problem = f"The overrides name the neuropil {said.neuropil}, which is no series of these ROIs."
            self.reading.find("override-unused", problem, each.series.path, listed(self.paths))
        fitting = [one for one in there if same_frames(each, one)]
        if not fitting:
            for one in there:
                if said.neuropil or one.layout is None or share_rows(each, one):
                    self.reading.found.extend(one.problems or [self._misfit(one, each)])
            return None
        if len(fitting) > 1:
            problem = (
                f"Several series could be the neuropil: {', '.join(one.series.path for one in fitting)}."
            )
            fields = {"series": each.series.path, "neuropil": fitting[0].series.path}
            remedy = proposal(self.reading.name, {"activity": [fields]})
            self.reading.find("ambiguous-activity", problem, each.series.path, remedy)
            return None
        self.reading.found.extend(fitting[0].problems)
        assert fitting[0].layout is not None
        return trace_of(fitting[0].series, fitting[0].layout, ActivityKind.RAW)

    def _deconvolved(self, each: Candidate) -> Trace | None:
        """Return the deconvolved traces of the same frames; without just one there is none."""
        there = [one for one in self._of(Role.DECONVOLVED) if one is not each]
        fitting = [one for one in there if same_frames(each, one)]
        if len(fitting) != 1:
            for one in fitting or there:
                problem = "It is not the only deconvolved series of these ROIs, or has other frames."
                self.reading.find("activity-left-out", problem, one.series.path)
            return None
        self.reading.found.extend(fitting[0].problems)
        assert fitting[0].layout is not None
        return trace_of(fitting[0].series, fitting[0].layout, ActivityKind.DECONVOLVED)

    def _misfit(self, one: Candidate, each: Candidate) -> Issue:
        shapes = [f"{c.layout.n_frames} x {c.layout.n_rois}" for c in (one, each) if c.layout is not None]
        problem = f"It has {' frames and ROIs for '.join(shapes)} of {each.series.path}"
        if one.layout is not None and each.layout is not None:
            problem += "" if np.array_equal(one.layout.rows, each.layout.rows) else ", and of other ROIs"
        fields = {"series": each.series.path, "neuropil": NO_NEUROPIL}
        remedy = proposal(self.reading.name, {"activity": [fields]})
        place = Place(self.reading.name, item=one.series.path)
        return issue("length-differs", f"{problem}.", place=place, remedy=remedy)


def _is_other_part(one: Candidate, other: Candidate) -> bool:
    """Whether two series have ROIs in common, at other times."""
    return one is not other and share_rows(one, other) and not compete(one, other)


def listed(paths: Iterable[str]) -> str:
    """Return what there is, for a remedy."""
    shown = sorted(each for each in paths if each)
    return f"There are {', '.join(shown[:20])}." if shown else "There are none."
