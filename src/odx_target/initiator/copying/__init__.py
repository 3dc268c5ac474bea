"""A host's copies: by token, by reads and writes, and the plan for both."""
