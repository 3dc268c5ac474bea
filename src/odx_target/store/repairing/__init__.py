"""Repair of a closed pool: everything that is left is saved, and blocks whose data is lost are marked as lost."""
