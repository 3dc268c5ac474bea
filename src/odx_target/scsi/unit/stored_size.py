"""The place in a pool of the size of a logical unit that was resized."""

KEY_PREFIX = "lun size: "
"""Prefix of a key in the pool. The rest of the key is the identity of the volume in hexadecimal, and the value is the size in
bytes, as a big-endian number."""
