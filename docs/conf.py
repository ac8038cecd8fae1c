"""Sphinx configuration. Reference pages are generated from the package, so they cannot drift."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from reference_pages import write_reference_pages

from nwbswitch.schemas.version import __version__

project = "nwbswitch"
author = "The nwbswitch developers"
copyright = "2026, The nwbswitch developers"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.mathjax"]
myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "nwbswitch"
autodoc_typehints = "description"
napoleon_numpy_docstring = True
napoleon_google_docstring = False
exclude_patterns = ["_build"]

write_reference_pages(Path(__file__).parent / "reference")
