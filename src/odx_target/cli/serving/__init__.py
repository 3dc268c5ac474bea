"""`odx-target serve`: its options, log lines and signals, and settings of the process that serves."""
