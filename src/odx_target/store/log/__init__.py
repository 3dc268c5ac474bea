"""The log of a pool: its batches, records and checksums, and the code that writes, reads and replays the log."""
