"""Volumes, frozen maps and snapshots of a pool. The modules read, write and clone them, and count the room that each of them
takes.
"""
