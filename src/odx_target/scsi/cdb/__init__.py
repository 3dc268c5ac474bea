"""Command descriptor blocks: the layout of each command's CDB, and struct decoders for READ and WRITE."""
