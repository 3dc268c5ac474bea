"""The initiator's end of a session: connection, login, commands under way (RFC 7143)."""
