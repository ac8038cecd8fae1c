"""An arm from counts to verdict: references, controls, and the sentence they end in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nwbswitch.analysis.estimands.counts import SessionCounts
from nwbswitch.analysis.simulation.count_studies import simulate_study
from nwbswitch.analysis.simulation.scenarios import SCENARIOS, Scenario
from nwbswitch.analysis.simulation.static_rois import simulate_static
from nwbswitch.analysis.verdicts.arm_analysis import ArmResult, analyse_arms, reference_of
from nwbswitch.analysis.verdicts.controls import CONTROLS, Outcome
from nwbswitch.analysis.verdicts.verdict import Word
from nwbswitch.schemas.worlds import World


def _study(truth: str | Scenario, *, n: int = 6, neurons: int = 40, seed: int = 2) -> list[SessionCounts]:
    scenario = SCENARIOS[truth] if isinstance(truth, str) else truth
    return simulate_study(scenario, n_animals=n, n_neurons=neurons, rng=np.random.default_rng(seed))


def _analyse(
    study: list[SessionCounts], reference: object = "saline", **other: object
) -> dict[str, ArmResult]:
    settings: dict[str, object] = {"margin": 0.25, "limits": (20,), "draws": 3, "seed": 0}
    return analyse_arms(study, reference=reference, **(settings | other))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def two_doses() -> list[SessionCounts]:
    """Sessions of two studies in the same animals: a low dose that does nothing, a high one that switches."""
    low, high = _study("no effect", seed=4), _study("switch", seed=5)
    named = {
        ("low", "ketamine"): "ketamine 1",
        ("low", "saline"): "saline 1",
        ("high", "ketamine"): "ketamine 10",
        ("high", "saline"): "saline 2",
    }
    return [
        replace(session, arm=named[dose, session.arm], session=f"{dose}-{session.session}")
        for dose, study in (("low", low), ("high", high))
        for session in study
    ]


def test_each_arm_may_have_its_own_reference(two_doses: list[SessionCounts]) -> None:
    own = {"ketamine 1": "saline 1", "ketamine 10": "saline 2"}
    found = _analyse(two_doses, own)
    assert list(found) == ["ketamine 1", "ketamine 10", "saline 1", "saline 2"]
    assert found["ketamine 1"].contrast_name == "vs_saline 1"
    assert found["ketamine 1"].verdict.word is Word.STABLE
    assert found["ketamine 10"].verdict.word is Word.SWITCH
    assert {found[arm].reference for arm in own.values()} == {"its own pseudo-injection"}
    # the same arms alone, with one reference, give the same numbers
    alone = _analyse([each for each in two_doses if each.session.startswith("high")], "saline 2")
    one, two = (each["ketamine 10"] for each in (found, alone))
    assert one.drug_estimates == two.drug_estimates
    assert one.difference == two.difference
    assert [each.sentence for each in one.controls] == [each.sentence for each in two.controls]


def test_a_drug_may_be_the_reference_of_another(two_doses: list[SessionCounts]) -> None:
    found = _analyse(two_doses, {"ketamine 10": "ketamine 1", "ketamine 1": "saline 1"}, controls=("N5",))
    assert "of saline 1 sessions thinned" in found["ketamine 1"].controls[0].sentence
    assert found["ketamine 10"].reference == "ketamine 1"
    lower = _analyse(two_doses, {"ketamine 10": "ketamine 1", "ketamine 1": "saline 1"}, controls=("N2",))
    assert lower["ketamine 1"].controls[0].outcome is Outcome.PASSED
    assert lower["ketamine 10"].controls[0].sentence == (
        "N2 impossible here: ketamine 1 is compared with saline 1 itself, and may have an effect."
    )
    assert found["ketamine 10"].verdict.word is Word.SWITCH
    assert found["saline 2"].reference == "its own pseudo-injection"


def test_references_must_be_there_and_be_others() -> None:
    arms = ["ketamine", "saline"]
    assert reference_of(arms, None) == {}
    assert reference_of(arms, "saline") == {"ketamine": "saline"}
    for wrong in ({"ketamine": "vehicle"}, {"psilocybin": "saline"}, "vehicle"):
        with pytest.raises(ValueError, match="no arm"):
            reference_of(arms, wrong)
    with pytest.raises(ValueError, match="its own reference"):
        reference_of(arms, {"saline": "saline"})


def test_all_controls_run_by_default_and_each_says_its_outcome() -> None:
    study = _study("gain")
    static = simulate_static(study, Scenario(), n_rois=5, rng=np.random.default_rng(0))
    found = _analyse(study, static=static)
    drug, saline = found["ketamine"].controls, found["saline"].controls
    assert [each.name for each in drug] == [each.name for each in saline] == list(CONTROLS)
    assert {each.outcome for each in drug} == {Outcome.PASSED}, [each.sentence for each in drug]
    outcomes = {each.name: each.outcome for each in saline}
    assert outcomes.pop("N4") is Outcome.PASSED
    assert set(outcomes.values()) == {Outcome.IMPOSSIBLE}
    assert all("this arm is the reference" in each.sentence for each in saline if each.name != "N4")
    without = _analyse(study)["ketamine"].controls
    assert without[3].sentence == "N4 impossible here: no static-marker ROIs."
    assert found["ketamine"].verdict.sentence.endswith("(negative controls: N1, N2, N3, N4 and N5 passed)")


def test_only_the_controls_that_are_wanted_are_run() -> None:
    study = _study("gain")
    assert [each.name for each in _analyse(study, controls=("N5", "N2"))["ketamine"].controls] == ["N2", "N5"]
    bare = _analyse(study, controls=())["ketamine"]
    assert bare.controls == ()
    assert "negative controls" not in bare.verdict.sentence
    with pytest.raises(ValueError, match="no negative control N6; there are N1, N2, N3, N4, N5"):
        _analyse(study, controls=("N1", "N6"))


@pytest.mark.parametrize(
    ("truth", "control", "read"),
    [
        (SCENARIOS["reshuffle before the drug"], "N1", Word.SWITCH),
        (Scenario(pseudo_world=World.SWAP), "N1", Word.STABLE),
        (SCENARIOS["reshuffle in both arms"], "N2", None),
        (Scenario(World.SWITCH, reference_world=World.SWAP), "N2", None),
    ],
)
def test_what_happens_without_the_drug_is_noticed_and_downgrades(
    truth: Scenario, control: str, read: Word | None
) -> None:
    verdict = _analyse(_study(truth, n=8))["ketamine"].verdict
    assert [each.name for each in verdict.failed] == [control]
    assert verdict.word is Word.UNDECIDED
    assert f"{control} failed" in verdict.sentence
    if read is not None:
        assert verdict.without_controls is read
        assert verdict.sentence.startswith(f"undecided: the estimates read as {read}, but {control} failed")


def test_artefacts_in_static_rois_downgrade_a_switch() -> None:
    study = _study("switch")
    moved = Scenario(false_events_per_min=0.4, false_events_in_drug_only=True)
    static = simulate_static(study, moved, n_rois=6, rng=np.random.default_rng(1))
    verdict = _analyse(study, static=static)["ketamine"].verdict
    assert (verdict.word, verdict.without_controls) == (Word.UNDECIDED, Word.SWITCH)
    assert verdict.sentence.startswith(
        "undecided: the estimates read as switch, but N4 failed: "
        "(static-marker ROIs in ketamine against saline) shows artefacts that change with the drug"
    )


def test_without_a_reference_arm_n5_thins_the_pseudo_injection() -> None:
    study = [each for each in _study("gain") if each.arm == "ketamine"]
    controls = {each.name: each for each in _analyse(study, None)["ketamine"].controls}
    assert controls["N5"].outcome is Outcome.PASSED
    assert "windows of the pseudo-injection thinned" in controls["N5"].sentence
    for name in ("N1", "N2", "N3"):
        assert "there is no reference arm" in controls[name].sentence


@pytest.mark.parametrize("neurons", [(20, 100), (60, 60, 10)])
def test_unequal_animals_and_neurons_seen_in_one_session_only(neurons: tuple[int, ...]) -> None:
    rng = np.random.default_rng(6)
    study = simulate_study(SCENARIOS["switch"], n_animals=8, n_neurons=neurons, rng=rng)
    partly = []
    for session in study:
        kept = rng.random(session.identity.size) < 0.7
        windows = {
            name: replace(
                window,
                events=window.events[kept],
                negative=window.negative[kept],
                exposure_s=window.exposure_s[kept],
            )
            for name, window in session.windows.items()
        }
        partly.append(replace(session, identity=session.identity[kept], windows=windows))
    found = _analyse(partly)["ketamine"]
    assert found.verdict.word is Word.SWITCH, found.verdict.sentence
    assert found.difference is not None
    assert found.difference.estimates["M", 0].n_neurons < sum(each.identity.size for each in partly)


def test_animals_partly_in_both_arms_are_compared_between_groups_with_an_exact_p() -> None:
    study = _study("switch", n=12)
    dropped = {("ketamine", name) for name in ("m01", "m02", "m03", "m04")}
    dropped |= {("saline", f"m{place:02d}") for place in range(7, 13)}
    part = [each for each in study if (each.arm, each.animal) not in dropped]
    found = _analyse(part)["ketamine"]
    assert found.difference is not None
    assert (found.difference.design, len(found.difference.shared)) == ("between", 2)
    assert found.difference.estimates["R_sil", 0].p < 0.05
    assert found.verdict.word is Word.SWITCH, found.verdict.sentence
