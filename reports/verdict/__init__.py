"""The verdict table: claims about networks, each decided by rule in a word, beside its number, its null and its figure."""
