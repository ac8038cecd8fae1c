"""Deviance functions of nested groups by elimination from below."""
