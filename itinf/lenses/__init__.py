"""Lenses: reading a prediction at any depth."""
