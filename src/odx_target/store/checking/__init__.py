"""Verification of a pool: every block on the disk is compared with its checksum."""
