"""Connections: their sockets, the iSCSI protocol on them, and the memory that sessions share."""
