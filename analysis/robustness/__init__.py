"""How the answer depends on choices of the analysis that could have been made otherwise."""
