"""The sections of the page; other packages add theirs by the entry point group ``itinf.sections``."""
