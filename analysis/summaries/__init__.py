"""Cross-products of units: from rows to sums, to files, and to a deviance function."""
