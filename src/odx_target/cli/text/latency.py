"""Latencies as text for a person."""

UNKNOWN = "-"


def latency(seconds: float | None) -> str:
    """Return a latency as text with three digits, such as "1.25 ms"."""
    if seconds is None:
        return UNKNOWN
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1.0:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"
