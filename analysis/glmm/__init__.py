"""Mixed models of yes/no outcomes."""
