"""Text keys, and the rules by which two sides agree on their values (RFC 7143 6.2, 13)."""
