"""Whole numbers of which a study file chooses one: all its values are text until a model reads them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


FirstNumber = Annotated[Literal[0, 1], BeforeValidator(_whole)]
"""What counting begins with: 0 as in Python and NWB, 1 as in MATLAB."""

CounterBits = Annotated[Literal[8, 16, 24, 32], BeforeValidator(_whole)]
"""Bits of a hardware counter."""
