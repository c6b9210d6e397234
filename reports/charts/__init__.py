"""Figures of the page that answer to hover, tap and keyboard; they read without a script, too."""
