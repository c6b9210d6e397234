"""Language models and text data sets of itinf."""
