"""Lenses: what reads a prediction from the state at any depth."""
