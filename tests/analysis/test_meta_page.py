"""Every example of docs/meta.md runs, in order, and what the page prints is what is printed."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from nwbswitch.cli import commands

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "meta.md").read_text(encoding="utf-8")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    tables = re.findall(r"Save this as `(\S+)`.*?```text\n(.*?)```", PAGE, flags=re.DOTALL)
    assert [name for name, _ in tables] == ["trials.csv", "papers.csv"]
    for name, text in tables:
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_commands(folder):
    lines = [
        line for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL) for line in block.splitlines()
    ]
    assert len(lines) == 6
    outputs = []
    for line in lines:
        program, *arguments = shlex.split(line)
        assert program == "nwbswitch"
        done = CliRunner().invoke(commands, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        outputs.append(done.output)
    for name in ("funnel.svg", "forest.pdf", "meta.json"):
        assert (folder / name).stat().st_size > 1000
    shown = re.search(r"```text\n(Effect sizes SMD.*?)```", PAGE, flags=re.DOTALL).group(1)
    for line in shown.splitlines():
        assert line == "..." or line in outputs[-1].splitlines()


def test_python(folder, capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    assert len(blocks) == 2
    space: dict = {}
    for block in blocks:
        exec(compile(block, "docs/meta.md", "exec"), space)
    printed = capsys.readouterr().out
    assert "Meta-analysis of 13 studies" in printed
    assert space["fit"].tau2 == pytest.approx(0.313243258136486, rel=1e-9)
    assert {"forest.svg", "cumulative.svg", "bubbles.svg"} <= {path.name for path in folder.iterdir()}


def test_every_name_of_the_table_is_there():
    import importlib

    found = set(re.findall(r"`(\w+)\.(\w+)\((?:table|fit|d|forest|funnel)\b", PAGE))
    assert len(found) >= 9
    for module, name in found:
        assert hasattr(importlib.import_module(f"nwbswitch.analysis.meta_analysis.{module}"), name)
