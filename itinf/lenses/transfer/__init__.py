"""Lenses read at other depths than the ones they were fitted at."""
