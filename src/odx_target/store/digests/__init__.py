"""Digests of frozen maps. Two maps with equal digests have equal content."""
