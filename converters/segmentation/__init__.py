"""Regions of interest and their traces, as segmentation programs write them."""
