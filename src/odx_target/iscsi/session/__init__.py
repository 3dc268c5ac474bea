"""The target's end of sessions and connections, without I/O (RFC 7143 4, 6, 11)."""
