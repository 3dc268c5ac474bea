"""Copy operations: work under way, its pace, and what is remembered of it (SPC-4 5.16.4)."""
