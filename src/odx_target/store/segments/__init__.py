"""Segments, the pieces in which the log is stored, in a directory or in memory."""
