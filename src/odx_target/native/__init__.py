"""Optional C code for the hot path. Each part replaces Python code that defines its behaviour."""
