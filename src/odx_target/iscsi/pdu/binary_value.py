"""Large binary values of text keys: hexadecimal after 0x, base64 after 0b (RFC 7143 6.1)."""

import base64
import re

_HEXADECIMAL = re.compile(r"0[xX]([0-9A-Fa-f]+)")
_BASE64 = re.compile(r"0[bB]([A-Za-z0-9+/]+)={0,2}")


def decode_binary(text: str, limit_bytes: int) -> bytes:
    """Return the bytes of a large binary value. The value must have at least 1 and at most `limit_bytes` bytes.

    n hexadecimal digits encode (n + 1) / 2 bytes, rounded down (6.1). n characters of base64 without padding encode n * 3 / 4
    bytes, rounded down. Raises ValueError. The text of the error does not contain the value.
    """
    value = _decode(text)
    if len(value) > limit_bytes:
        raise ValueError(f"{len(value)} bytes are over the limit of {limit_bytes}")
    return value


def _decode(text: str) -> bytes:
    if match := _HEXADECIMAL.fullmatch(text):
        return bytes.fromhex(match[1].rjust(len(match[1]) + len(match[1]) % 2, "0"))
    match = _BASE64.fullmatch(text)
    if match is None or len(match[1]) % 4 == 1:
        raise ValueError("neither hexadecimal after 0x nor base64 after 0b")
    return base64.b64decode(match[1] + "=" * (-len(match[1]) % 4), validate=True)


def encode_binary(value: bytes) -> str:
    """Return the text of a binary value, in hexadecimal after 0x."""
    return f"0x{value.hex()}"
