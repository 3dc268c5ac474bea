"""Verification of a pool: every block is checked against its checksum."""
