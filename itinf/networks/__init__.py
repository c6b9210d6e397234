"""What the rest knows of an architecture: its blocks, its states, its readout, and a trace of a batch."""
