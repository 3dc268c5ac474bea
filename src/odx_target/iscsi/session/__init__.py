"""Sessions and connections as a target sees them, without I/O (RFC 7143 4, 6, 11)."""
