"""Which data sets can say whether a finding replicates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nwbswitch.analysis.replication.eligibility import Candidate, judged, known_candidates
from nwbswitch.schemas.errors import InputFileError

OWN = "its own pseudo-injection"


def _arm(reference: str, **values: Any) -> dict[str, Any]:
    m = {"estimate": 1.5, "se": 0.1, "ci_low": 1.3, "ci_high": 1.7, "status": "ok"}
    return {"reference": reference, "verdict": "switch", "n_animals": 6, "estimands": {"M": m}, **values}


def _judged(arms: dict[str, Any], arm: str | None = None, main: str | None = "saline") -> Candidate:
    return judged("d", {"arms": arms, "reference": main}, arm=arm, lab="", problems=())


DOSES = {
    "5 mg/kg": _arm("saline"),
    "20 mg/kg": _arm("saline #2"),
    "saline": _arm(OWN),
    "saline #2": _arm(OWN),
}


def test_each_dose_is_judged_against_its_own_control() -> None:
    found = _judged(DOSES, "20 mg/kg")
    assert found.eligible
    assert (found.arm, found.reference, found.estimate) == ("20 mg/kg", "saline #2", 1.5)


@pytest.mark.parametrize(
    ("arms", "arm", "reason"),
    [
        (DOSES, None, "which arm is meant is not stated (switch.arm); its tested arms are 5 mg/kg, 20 mg/kg"),
        (DOSES, "ketamine", "no arm 'ketamine' with a reference; its tested arms are 5 mg/kg, 20 mg/kg"),
        (DOSES, "saline", "no arm 'saline' with a reference; its tested arms are 5 mg/kg, 20 mg/kg"),
        ({"ketamine": _arm(OWN)}, None, "no saline or vehicle arm to compare with"),
        (
            {"k": _arm("s", verdict="not_enough_animals", n_animals=1), "s": _arm(OWN)},
            None,
            "1 animal only, which is too few for a verdict",
        ),
        ({"k": _arm("s", estimands={}), "s": _arm(OWN)}, None, "M against s: not estimable"),
    ],
)
def test_why_a_data_set_is_not_eligible(arms: dict[str, Any], arm: str | None, reason: str) -> None:
    found = _judged(arms, arm)
    assert not found.eligible
    assert found.reasons == (reason,)


def test_the_usual_reference_need_not_be_there() -> None:
    found = _judged({"k": _arm("dmso"), "dmso": _arm(OWN)}, main=None)
    assert (found.eligible, found.reference) == (True, "dmso")


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2\n", "dandiset,estimable\n1,True\n", "\0\0", "dandiset\n" + "x" * 100_000]
)
def test_what_is_no_table_of_candidates_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "found.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputFileError, match=r"found\.csv"):
        known_candidates(path)


def test_reasons_of_a_candidate_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "found.csv"
    rows = ["000001,False,no <drug> window,a", "000001,False,no <drug> window,b", "000001,True,,c"]
    path.write_text("\n".join(["dandiset,estimable,why_not_words,subject", *rows]), encoding="utf-8")
    (found,) = known_candidates(path)
    assert found.dataset == "000001"
    assert not found.eligible
    assert found.reasons == (
        "1 animal could be estimated and is not part of this analysis",
        "no <drug> window (2 recordings)",
    )
