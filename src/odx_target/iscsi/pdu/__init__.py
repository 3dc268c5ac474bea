"""PDUs: headers, text and framing, as bytes and as data (RFC 7143 11). Both ends of a connection use it."""
