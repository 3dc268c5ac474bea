"""The pattern that test clients write to a source before a copy. It is different at each position."""

UNIT_BYTES = 4096
"""Size of the units in which the pattern is constant. Positions and sizes are multiples of it."""


def pattern(position_bytes: int, size_bytes: int) -> bytes:
    """Return the pattern from a position on."""
    starts = range(position_bytes, position_bytes + size_bytes, UNIT_BYTES)
    return b"".join(b"%15d " % start * (UNIT_BYTES // 16) for start in starts)
