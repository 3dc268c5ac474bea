"""Connections: sockets, the iSCSI protocol behind them, and the memory that sessions share."""
