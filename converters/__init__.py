"""From a lab's raw files to checked NWB files."""
