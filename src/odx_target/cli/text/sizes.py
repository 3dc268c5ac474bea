"""Sizes and rates as text for a person."""

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def size(count_bytes: float) -> str:
    """Return a size as text with a unit that is a power of 1024, such as "1.5 MiB"."""
    unit = 0
    while count_bytes >= 1024 and unit < len(_UNITS) - 1:
        count_bytes /= 1024
        unit += 1
    return f"{count_bytes:.0f} {_UNITS[unit]}" if unit == 0 or count_bytes >= 100 else f"{count_bytes:.1f} {_UNITS[unit]}"


def rate(count_bytes: int, elapsed_s: float) -> str:
    """Return the bytes per second as text. A time that is too short to measure counts as one microsecond."""
    return f"{size(count_bytes / max(elapsed_s, 1e-6))}/s"
