"""What is measured on: data sets, and the fixed keyed order in which their clusters are taken."""
