"""Repair of a closed pool: all data that can still be read is saved, and all other blocks are marked as lost."""
