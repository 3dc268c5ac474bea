"""A host's copies: by token or by reads and writes, according to a plan."""
