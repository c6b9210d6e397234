"""Training specimens: a loop that an interruption cannot spoil, and the card of what was reached."""
