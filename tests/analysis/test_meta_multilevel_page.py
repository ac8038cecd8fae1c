"""Every example of docs/meta_multilevel.md runs, and what the page prints is what is printed."""

import importlib
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "meta_multilevel.md").read_text(encoding="utf-8")


def test_python(tmp_path, monkeypatch, capsys):
    table = re.search(r"Save this as `trials.csv`.*?```text\n(.*?)```", PAGE, flags=re.DOTALL).group(1)
    (tmp_path / "trials.csv").write_text(table)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 2
    space: dict = {}
    for block in blocks:
        exec(compile(block, "docs/meta_multilevel.md", "exec"), space)
    printed = capsys.readouterr().out
    shown = re.search(r"```text\n(Random effects that.*?)```", PAGE, flags=re.DOTALL).group(1)
    assert shown in printed
    assert space["fit"].ddf.tolist() == [4.0, 4.0]
    assert space["fit"].robust().ddf == pytest.approx([3.8, 3.8], abs=0.05)
    assert space["three_levels"].k == 10


def test_names_of_the_page_are_there():
    found = re.findall(r"from (nwbswitch\.analysis\.meta_analysis\.\w+) import ([\w, ]+)", PAGE)
    assert len(found) == 4
    for module, names in found:
        for name in names.split(", "):
            assert callable(getattr(importlib.import_module(module), name))
    for module, name in (("robust_correlated", "correlated_effects"), ("moderator_table", "moderator_table")):
        assert name in PAGE
        assert callable(getattr(importlib.import_module(f"nwbswitch.analysis.meta_analysis.{module}"), name))
