"""Image networks and image data sets for itinf."""
