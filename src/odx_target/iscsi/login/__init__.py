"""The login of one connection, as the target sees it, without I/O (RFC 7143 6, 11.12, 11.13, 12.1)."""
