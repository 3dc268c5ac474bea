"""`odx-target import`: LUNs of other arrays."""
