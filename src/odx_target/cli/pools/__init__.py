"""`odx-target pool`, and the pools that a command opens itself."""
