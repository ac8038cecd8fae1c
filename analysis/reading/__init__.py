"""What recordings are, whoever wrote the file: harmonised outlines of NWB files."""
