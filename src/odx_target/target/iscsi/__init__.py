"""The iSCSI protocol (RFC 7143) without I/O: bytes in, events out."""
