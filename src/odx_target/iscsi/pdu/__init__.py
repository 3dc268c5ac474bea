"""Headers, text and framing of PDUs, as bytes and as data (RFC 7143 11), for both ends of a connection."""
