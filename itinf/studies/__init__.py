"""Running a study: one network or several, resumed, in parallel, or under torchrun."""
