"""The cleaner, which frees the segments of the log to whose blocks no map refers any more."""
