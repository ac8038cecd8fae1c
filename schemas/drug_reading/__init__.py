"""Drugs as files state them: words, numbers and times with where they stand and how sure they are."""
