"""A small iSCSI initiator, and the host side of offloaded copy."""
