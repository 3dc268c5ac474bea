"""Digests of frozen maps. If two maps have equal digests, they have equal content."""
