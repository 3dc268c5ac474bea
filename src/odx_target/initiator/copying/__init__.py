"""Copying by a host: the plan of a copy, copies by token, and copies by reads and writes."""
