"""Compressed extents: their encoding, their codecs, and a cache of their content."""
