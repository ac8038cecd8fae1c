"""Bytes of files, near and far: ranges, caches, and where arrays lie in a file."""
