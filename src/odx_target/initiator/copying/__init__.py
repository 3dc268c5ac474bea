"""Copying as a host does it: by token, by reads and writes, and the plan for both."""
