"""ROD tokens, copy operations and the copy manager (SPC-4, SBC-4)."""
