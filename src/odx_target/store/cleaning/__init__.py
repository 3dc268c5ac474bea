"""The cleaner. A segment of the log is freed if no map refers to its blocks any more."""
