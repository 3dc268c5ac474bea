"""Command descriptor blocks: the layout of each command's CDB, and fast decoders for READ and WRITE."""
