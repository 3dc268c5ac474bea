"""The log: batches, records, checksums, and how it is written, read and replayed."""
