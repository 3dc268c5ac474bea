"""`odx-target serve`: options, log lines, signals, and what belongs to a process that serves."""
