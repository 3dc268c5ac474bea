"""Connections of initiators: sockets, the iSCSI protocol on a socket, and the memory that sessions share."""
