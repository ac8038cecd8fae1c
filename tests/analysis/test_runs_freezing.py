"""Frozen plans: unchanged, changed, tampered with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nwbswitch.analysis.runs.freezing import freeze, frozen_file, plan_status
from nwbswitch.schemas.errors import ExistingOutputError, InputFileError, StudyError

PLAN = "name: crossover\nsources: nwb\nseed: 1\n"


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "analysis.yaml"
    path.write_text(PLAN, encoding="utf-8")
    return path


def test_a_plan_is_never_frozen_until_it_is(plan: Path) -> None:
    assert plan_status(plan).status == "never"
    assert plan_status(plan).sentence == "The plan was never frozen."
    frozen = freeze(plan)
    assert frozen.status == "frozen"
    assert frozen == plan_status(plan)
    assert frozen.frozen_at


def test_another_form_of_the_same_plan_is_unchanged(plan: Path) -> None:
    freeze(plan)
    plan.write_text("# a comment\nseed: 1\nsources: [nwb]\nname: crossover\n", encoding="utf-8")
    assert plan_status(plan).status == "frozen"


def test_what_changed_is_told(plan: Path) -> None:
    freeze(plan)
    plan.write_text(PLAN.replace("seed: 1", "seed: 2\nswitch: {margin: 0.3}"), encoding="utf-8")
    status = plan_status(plan)
    assert status.status == "changed"
    assert status.changes == ("seed: 1 before, 2 now", "switch.margin: 0.25 before, 0.3 now")
    assert "changed since it was frozen" in status.sentence


def test_overrides_are_part_of_the_plan(plan: Path) -> None:
    overrides = plan.with_name("overrides.yaml")
    overrides.write_text("defaults: {dataset: a}\n", encoding="utf-8")
    plan.write_text(PLAN + "overrides: overrides.yaml\n", encoding="utf-8")
    freeze(plan)
    overrides.write_text("defaults: {dataset: b}\n", encoding="utf-8")
    status = plan_status(plan)
    assert status.status == "changed"
    assert "overrides_digests" in status.changes[0]


def test_freezing_twice_changes_nothing_and_anew_keeps_the_first(plan: Path) -> None:
    first = freeze(plan)
    content = frozen_file(plan).read_bytes()
    freeze(plan)
    assert frozen_file(plan).read_bytes() == content
    plan.write_text(PLAN.replace("seed: 1", "seed: 2"), encoding="utf-8")
    with pytest.raises(ExistingOutputError, match="seed: 1 before, 2 now"):
        freeze(plan)
    assert frozen_file(plan).read_bytes() == content
    again = freeze(plan, overwrite=True)
    held = json.loads(frozen_file(plan).read_text())
    assert [each["digest"] for each in held["earlier"]] == [first.digest]
    assert again.earlier == (first.frozen_at,)
    assert "It was frozen before" in again.sentence


def test_a_frozen_plan_that_was_edited_is_refused(plan: Path) -> None:
    freeze(plan)
    target = frozen_file(plan)
    held = json.loads(target.read_text())
    held["plan"]["seed"] = 9
    target.write_text(json.dumps(held), encoding="utf-8")
    with pytest.raises(InputFileError, match="was changed after it was written"):
        plan_status(plan)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"plan": {}, "digest": 1}', "[" * 100_000])
def test_a_damaged_frozen_plan_is_an_error_with_a_remedy(plan: Path, text: str) -> None:
    frozen_file(plan).write_text(text, encoding="utf-8")
    with pytest.raises(InputFileError, match="freeze the plan again"):
        plan_status(plan)


def test_a_plan_with_mistakes_is_not_frozen(plan: Path) -> None:
    plan.write_text("name: x\n", encoding="utf-8")
    with pytest.raises(StudyError):
        freeze(plan)
    assert not frozen_file(plan).exists()
