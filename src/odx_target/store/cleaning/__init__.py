"""The cleaner. The cleaner frees segments of the log whose blocks are no longer in any map."""
