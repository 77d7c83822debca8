"""Ray around `training`: one trainer for the fleet, one streaming job for the labels, and the command line."""
