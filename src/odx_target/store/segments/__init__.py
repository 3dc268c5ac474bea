"""Segments, which are the parts of the log, in a directory or in memory."""
