"""Tests of fixed effects: degrees of freedom, terms, means, contrasts and equivalence."""
