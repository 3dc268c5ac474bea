"""Verification of a pool: every block against its checksum, and the maps against the log."""
