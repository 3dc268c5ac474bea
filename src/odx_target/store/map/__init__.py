"""The map of a volume, which gives the place of each block in the log."""
