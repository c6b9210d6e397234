"""Language models and text data sets for itinf."""
