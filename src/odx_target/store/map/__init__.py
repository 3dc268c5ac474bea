"""The map of a volume: which block lies where."""
