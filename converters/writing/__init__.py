"""Large data to NWB: chunks compressed in parallel, written directly and read back."""
