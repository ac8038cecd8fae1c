"""NWB conversion and meta-analysis of drug-challenge experiments in cortical networks."""

from nwbswitch.schemas.version import __version__

__all__ = ["__version__"]
