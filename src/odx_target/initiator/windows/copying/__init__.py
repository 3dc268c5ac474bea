"""The way in which Windows copies a file: offload reads and writes, and when they are given up."""
