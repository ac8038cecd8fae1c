"""A look into a raw folder: which formats, animals and sessions it holds, written as a study file."""
