"""Figures and pages from itinf's results tables; never touches a model."""
