"""The copy manager, its ROD tokens and its copy operations (SPC-4, SBC-4)."""
