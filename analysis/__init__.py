"""From NWB files to tables, estimates and a report."""
