"""The edge: server, configuration and command line; the iSCSI protocol is in target.iscsi."""
