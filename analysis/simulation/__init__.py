"""Simulated studies with a known truth."""
