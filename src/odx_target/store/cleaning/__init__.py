"""The cleaner, which frees the segments of the log whose blocks no map refers to any more."""
