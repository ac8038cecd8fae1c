"""Figures; every function returns a matplotlib Figure to edit and to save."""
