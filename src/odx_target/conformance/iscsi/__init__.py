"""Checks of the iSCSI protocol (RFC 7143), which send single PDUs."""
