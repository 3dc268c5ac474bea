"""odx-target: an iSCSI array with offloaded copy by point-in-time ROD tokens."""

__version__ = "0.1.0"
