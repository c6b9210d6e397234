"""Data sets, and the fixed order in which their clusters are read."""
