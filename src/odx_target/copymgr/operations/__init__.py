"""Copy operations, the copy rate, and the records of operations (SPC-4 5.16.4)."""
