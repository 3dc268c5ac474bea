"""Checks of token copy: POPULATE TOKEN, WRITE USING TOKEN, their results, and the life of tokens (SPC-4, SBC-3)."""
