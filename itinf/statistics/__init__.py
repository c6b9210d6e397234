"""Sums that merge, the bootstrap, intervals, medians, and who is paired with whom in the nulls."""
