"""Recordings in the objects of pynapple, xarray and pandas."""
