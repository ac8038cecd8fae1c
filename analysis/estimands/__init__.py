"""The estimands of the activity switch: counts, sums that add, and their sampling variance."""
