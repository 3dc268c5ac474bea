"""`odx-target windows-copy`: a copy as Windows would do it."""
