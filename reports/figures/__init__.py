"""Figures: each a function from a results table to a matplotlib Figure."""
