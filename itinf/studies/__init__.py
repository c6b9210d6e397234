"""Studies: they measure one network or several, resume, and run in parallel or under torchrun."""
