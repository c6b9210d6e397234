"""Image networks and image data sets of itinf."""
