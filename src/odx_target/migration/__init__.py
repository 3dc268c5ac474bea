"""Imports: LUNs of other arrays that this array serves at once and copies in the background.

The old LUN is a *source*. Its blocks are fetched into a base of the pool (see `Bases` in `store.api`), and hosts use a clone of
this base. When all blocks have been fetched, the base is settled, and the old array is no longer needed.
"""
