"""Persistent reservations (SPC-4 5.13): their rules, the two commands, and how the pool stores reservations."""
