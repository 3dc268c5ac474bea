"""Segments: where the log lies, in a directory or in memory."""
