"""The names of the volumes that take the arriving data of tokens. This module imports nothing, because each array loads it."""

VOLUME_PREFIX = "replica/token/"
"""Beginning of the names of the volumes. Such a volume has no LUN number, so hosts cannot use it."""

STAGING_ATTRIBUTE = "staging"
"""Attribute of the volumes. Another volume whose name has the same beginning is never deleted."""
