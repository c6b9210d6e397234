"""Prediction trajectories: what a network would predict at every depth, for items that a user gives."""
