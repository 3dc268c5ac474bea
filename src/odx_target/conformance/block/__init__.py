"""Checks of the block commands (SBC-3)."""
