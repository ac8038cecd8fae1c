"""The examples of the page on yes/no outcomes run as they stand."""

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs/yes_no_outcomes.md"


def test_the_examples_run(capsys):
    said: dict[str, Any] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(blocks) == 4
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), said)
    assert said["model"].info["converged"]
    assert said["rates"].info["converged"]
    assert said["test"].df == said["share"].fixed[1].df == said["model"].fixed[1].df == 10.0
    assert "Negative binomial counts" in capsys.readouterr().out
