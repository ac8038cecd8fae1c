"""Movies of two-photon and one-photon microscopes as series of an NWB file."""
