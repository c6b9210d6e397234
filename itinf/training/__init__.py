"""Training of specimens: the loop, which can be interrupted and resumed, and the card with the scores."""
