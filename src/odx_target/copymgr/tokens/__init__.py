"""ROD tokens: the format, the represented data, and the lifetime of tokens (SPC-4 5.16.6, SBC-4 4.28)."""
