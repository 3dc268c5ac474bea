"""The copy of a file as Windows does it: offload reads and writes, and when it gives them up."""
