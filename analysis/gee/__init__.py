"""Generalised estimating equations for counts and yes/no outcomes of few clusters."""
