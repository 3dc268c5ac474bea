"""The array: its logical units, the iSCSI server, management, configuration and traces."""
