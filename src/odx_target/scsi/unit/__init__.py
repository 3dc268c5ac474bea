"""The logical unit: its state, its blocks, and the operations on all of its medium."""
