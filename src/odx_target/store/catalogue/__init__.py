"""Checkpoints of a pool, and the catalogue that stores them outside the log."""
