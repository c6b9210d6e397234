"""What a study leaves: sums, the tidy table, the results folder, figures and page."""
