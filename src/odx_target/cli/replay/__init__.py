"""`odx-target replay`."""
