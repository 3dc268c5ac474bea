"""Persistent reservations: the rules, the two commands, and the storage in the pool (SPC-4 5.13)."""
