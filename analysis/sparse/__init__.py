"""Deviance functions of crossed groups by blocked elimination."""
