"""The page: its sections and tables."""
