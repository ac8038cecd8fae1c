"""Model formulas: their grammar, their variables and how these become columns."""
