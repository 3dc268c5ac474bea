"""Copy operations: their work, the rate of copying, and their records (SPC-4 5.16.4)."""
