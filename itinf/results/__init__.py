"""The results of a study: sums, tables, the results folder, figures and page."""
