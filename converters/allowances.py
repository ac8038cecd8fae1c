"""The allow-list: which findings of nwbinspector are known false alarms here, and why."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict


class Allowance(BaseModel):
    """One known false alarm: the check, which objects and messages it concerns, and the reason."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    check: str
    object: str = ""
    message: str = ""
    reason: str

    def covers(self, check: str, object_name: str, message: str) -> bool:
        """Whether a finding is this false alarm."""
        return (
            check == self.check
            and (not self.object or re.fullmatch(self.object, object_name) is not None)
            and (not self.message or re.search(self.message, message) is not None)
        )


@lru_cache(maxsize=1)
def allowances() -> tuple[Allowance, ...]:
    """Return the allow-list of ``allowances.yaml``."""
    text = Path(__file__).with_name("allowances.yaml").read_text(encoding="utf-8")
    return tuple(Allowance.model_validate(each) for each in yaml.safe_load(text)["allowances"])


def allowed_because(check: str, object_name: str, message: str) -> str:
    """Return why a finding may stay, or an empty text when it may not."""
    return next((each.reason for each in allowances() if each.covers(check, object_name, message)), "")
