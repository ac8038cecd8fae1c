"""Pooling of effects over studies."""
