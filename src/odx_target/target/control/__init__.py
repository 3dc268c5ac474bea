"""The control socket of a running array, and what can be asked of it."""
