"""`odx-target serve`: its options, its log lines, its signals, and settings of the process that serves."""
