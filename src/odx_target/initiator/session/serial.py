"""Serial number arithmetic of 32 bits, for CmdSN and StatSN (RFC 1982, RFC 7143 4.2.2.1)."""

_MODULUS = 1 << 32
_HALF = 1 << 31


def following(number: int) -> int:
    return (number + 1) % _MODULUS


def is_behind(first: int, second: int) -> bool:
    """True if `first` comes before `second` in serial number order."""
    return 0 < (second - first) % _MODULUS < _HALF
