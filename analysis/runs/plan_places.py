"""Where the files of a plan are: relative to the plan, with environment variables filled in."""

from __future__ import annotations

import re
from pathlib import Path

from nwbswitch.schemas.errors import StudyError
from nwbswitch.schemas.issues import Place
from nwbswitch.schemas.study_paths import with_variables

_FAR = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:(?!\\)")


def placed(text: str, base: Path, *, what: str) -> str:
    """Return a source or path of a plan as it is opened from here.

    Parameters
    ----------
    text
        As the plan has it: a path or pattern relative to ``base``, ``dandi:ID`` or an address.
    base
        Folder of the plan.
    what
        What it is, for the message.

    Raises
    ------
    StudyError
        When an environment variable that it names is not set.
    """
    filled, found = with_variables(text, Place(item=what), what=what)
    if found:
        raise StudyError(found)
    if _FAR.match(filled) and not Path(filled).is_absolute():
        return filled
    return str(base / filled)
