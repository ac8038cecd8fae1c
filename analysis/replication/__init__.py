"""Whether data sets agree: which are eligible, what each shows, and what they show together."""
