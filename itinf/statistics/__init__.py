"""Statistics: sums with their bootstrap, intervals, medians, and the partners of the nulls."""
