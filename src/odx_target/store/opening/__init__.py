"""Opening a pool: its files in a directory, its head, and recovery from the last checkpoint and the log."""
