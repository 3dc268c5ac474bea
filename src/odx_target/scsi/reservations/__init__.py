"""Persistent reservations: their rules, their two commands, and their storage (SPC-4 5.13)."""
