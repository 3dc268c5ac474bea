"""Checkpoints of a pool, and the catalogue, which stores the last checkpoint outside the log."""
