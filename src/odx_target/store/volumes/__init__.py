"""Volumes, frozen maps and snapshots of a pool: reading, writing, cloning, and the room that each of them takes."""
