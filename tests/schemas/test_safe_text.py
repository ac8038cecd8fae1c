"""Text that others wrote, made safe to show."""

from __future__ import annotations

import json

import pytest

from nwbswitch.schemas.safe_text import safe_line, safe_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", r"\u001b[31mred\u001b[0m"),
        ("\x9b31m", r"\u009b31m"),
        ("a\rb\x08c\x7f", r"a\u000db\u0008c\u007f"),
        ("invoice\u202efdp.exe", r"invoice\u202efdp.exe"),
        ("M\udce4use", r"M\udce4use"),
        ("a\u2028b\u2066c\0", r"a\u2028b\u2066c\u0000"),
        ("Mäuse 🐭 \xa0µ\u200b\u202f", "Mäuse 🐭 \xa0µ\u200b\u202f"),
        ("", ""),
    ],
)
def test_what_steers_is_shown_as_its_escape(text: str, shown: str) -> None:
    assert safe_text(text) == safe_line(text) == shown
    shown.encode()


def test_lines_are_kept_apart_or_joined() -> None:
    assert safe_text("a\tb\nc") == "a\tb\nc"
    assert safe_line("a\tb\nc") == r"a\u0009b\u000ac"


def test_json_stays_what_it_was() -> None:
    value = {"a\x9b": ["\x1b[2J", "\udce4", "\u202e", "ä\n"]}
    assert json.loads(safe_text(json.dumps(value, ensure_ascii=False, indent=1))) == value
