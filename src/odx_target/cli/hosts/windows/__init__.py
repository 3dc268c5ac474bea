"""`odx-target windows-copy`: copy a file with the same commands as Windows."""
