"""Checks of persistent reservations (SPC-4)."""
