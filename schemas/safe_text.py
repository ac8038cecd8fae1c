"""Text that others wrote, made safe to show and to keep: nothing in it steers a terminal or turns words.

What is replaced by its escape (``\\u001b``): control characters, among them those of escape sequences; breaks
that only some programs see; marks that change the direction of what follows; and halves of pairs of UTF-16,
by which Python stands for bytes in names of files that are not UTF-8, and which no file in UTF-8 can hold.
"""

from __future__ import annotations

import re

_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_BREAKS = re.compile(f"[\t\n]|{_STEERING.pattern}")


def safe_text(text: str) -> str:
    """Return text of any number of lines with escapes in place of what is not safe; JSON stays JSON."""
    return _STEERING.sub(_escape, text)


def safe_line(text: str) -> str:
    """Return text with escapes in place of what is not safe, and of breaks between lines."""
    return _BREAKS.sub(_escape, text)


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
