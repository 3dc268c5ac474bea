"""The limits of the size of a recording."""

DEFAULT_RECORDING_BYTES = 1 << 30
"""Default size limit of a recording: the transfers of a few minutes."""
MAX_RECORDING_BYTES = 1 << 40
"""Maximum size limit of a recording. A replay reads the whole recording, so a useful one is far smaller."""
MIN_RECORDING_BYTES = 1 << 16
"""Minimum size limit of a recording. The settings of an array with many LUNs need some KiB."""
