"""NWB conversion and meta-analysis of drug-challenge experiments in cortical networks.

The functions behind the commands are handed on from here and imported when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from nwbswitch.schemas.version import __version__

if TYPE_CHECKING:
    from nwbswitch.analysis.catalogue.find import find
    from nwbswitch.analysis.measure import measure
    from nwbswitch.analysis.meta_analysis.meta import meta
    from nwbswitch.analysis.mixed.fit import fit
    from nwbswitch.analysis.reading.recording import open_recording
    from nwbswitch.analysis.reporting.report import report
    from nwbswitch.analysis.runs.run import run
    from nwbswitch.analysis.table_file import read_table
    from nwbswitch.analysis.verdicts.switch import switch
    from nwbswitch.converters.annotate import annotate
    from nwbswitch.converters.check import check
    from nwbswitch.converters.convert import convert

_HANDED_ON = {
    "annotate": "converters.annotate",
    "check": "converters.check",
    "convert": "converters.convert",
    "find": "analysis.catalogue.find",
    "fit": "analysis.mixed.fit",
    "measure": "analysis.measure",
    "meta": "analysis.meta_analysis.meta",
    "open_recording": "analysis.reading.recording",
    "read_table": "analysis.table_file",
    "report": "analysis.reporting.report",
    "run": "analysis.runs.run",
    "switch": "analysis.verdicts.switch",
}

__all__ = [
    "__version__",
    "annotate",
    "check",
    "convert",
    "find",
    "fit",
    "measure",
    "meta",
    "open_recording",
    "read_table",
    "report",
    "run",
    "switch",
]


def __getattr__(name: str) -> object:
    if name not in _HANDED_ON:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HANDED_ON[name]}"), name)


def __dir__() -> list[str]:
    return __all__
