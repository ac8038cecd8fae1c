"""Files of overrides that explode, run code or state what cannot be: refused by line, or harmless."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from small_recording import MEASURED_BLOCK_S, small_recording

from nwbswitch.analysis.measure import measure
from nwbswitch.schemas.errors import NwbswitchError, StudyError
from nwbswitch.schemas.overrides import load_overrides


def _bomb() -> str:
    lines = ["a: &a [" + ",".join("x" * 9) + "]"]
    lines += [
        f"{b}: &{b} [" + ",".join([f"*{a}"] * 9) + "]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    return "\n".join(lines)


DOSE = "timestamp_s: 0, substance: ketamine"
REFUSED = {
    "a bomb of aliases": _bomb(),
    "an alias of itself": "defaults: &a {x: *a}",
    "a merge of itself": "defaults: &a {<<: *a, dataset: x}",
    "lists without end": "defaults: " + "[" * 5_000,
    "mappings without end": "defaults: " + "{a: " * 5_000,
    "a long number": "defaults: {depth_um: " + "9" * 100_000 + "}",
    "no number": "defaults: {depth_um: .nan}",
    "an infinite number": "defaults: {depth_um: 1e999}",
    "many repeats": f"defaults: {{administrations: [{{{DOSE}, repeats: 1000000000, every_h: 1}}]}}",
    "repeats for ever": f"defaults: {{administrations: [{{{DOSE}, repeats: 100, every_h: 1e308}}]}}",
    "code": "defaults: !!python/object/apply:os.system ['touch pwned']",
    "a date beyond": "defaults: {start_time: 99999-01-01T00:00:00+00:00}",
    "half a letter": 'defaults: {dataset: "\\uD800"}',
    "two of one key": "defaults: {dataset: a, dataset: b}",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_explodes_is_refused_soon(tmp_path: Path, text: str) -> None:
    path = tmp_path / "overrides.yaml"
    path.write_text(text, encoding="utf-8")
    began_s = time.monotonic()
    with pytest.raises(StudyError) as caught:
        load_overrides(path)
    assert time.monotonic() - began_s < 5
    assert len(str(caught.value)) < 5000
    assert not (tmp_path / "pwned").exists()


STATED = (
    "{activity: [{rate_hz: 5e-324}]}",
    "{activity: [{rate_hz: 1e308}]}",
    "{activity: [{rate_hz: 10, start_s: 1e308}]}",
    "{activity: [{rate_hz: 10, start_s: -1e308}]}",
    "{activity: [{timestamps: /units/spike_times}]}",
    "{activity: [{timestamps: /}]}",
    "{activity: [{series: /../..}]}",
    "{activity: [{series: /units}]}",
    "{activity: [{neuropil: /processing}]}",
    "{points_unit_s: 1e308}",
    "{points_unit_s: 1e-308}",
    "{drug_codes: {'(a+)+$': ketamine, '.': saline, '': x}}",
    "{start_time: '0001-01-01T00:00:00+23:59'}",
    "{start_time: '9999-12-31T23:59:59-23:59'}",
    "{depth_um: -1e308}",
    "{windows: [{window: baseline, start_s: -1e308, stop_s: 1e308}]}",
    "{windows: [{window: baseline, start_s: 1, stop_s: 1.0000001}, {window: drug, start_s: 20, stop_s: 60}]}",
    "{accepted: {column: accepted, above: 1e308}}",
    "{accepted: {column: ../../id, values: ['0']}}",
)


@pytest.mark.parametrize("spikes", ["counted", "as_calcium"])
@pytest.mark.filterwarnings("ignore:overflow")
def test_what_is_stated_is_measured_or_refused(tmp_path: Path, spikes: str) -> None:
    recording = small_recording(tmp_path / "a.nwb")
    for stated in STATED:
        path = tmp_path / "overrides.yaml"
        path.write_text(f"defaults: {stated}")
        try:
            cells = measure(recording, block_s=MEASURED_BLOCK_S, overrides=path, spikes=spikes).cells
        except NwbswitchError:
            continue
        assert (cells["exposure_s"] <= MEASURED_BLOCK_S + 0.1).all(), stated


def test_patterns_take_time_in_proportion_to_their_length(tmp_path: Path) -> None:
    path = tmp_path / "overrides.yaml"
    path.write_text("sources: [{match: '" + "*a" * 1000 + "b', dataset: x}]")
    began_s = time.monotonic()
    assert load_overrides(path).for_source("a" * 5000 + ".nwb").dataset is None
    assert time.monotonic() - began_s < 5
