"""Checks of the primary commands (SPC-4)."""
