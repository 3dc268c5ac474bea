"""Ways to write binary values in text keys: those of RFC 7143 6.1, and others, which a target must refuse."""

import base64
from collections.abc import Callable, Mapping

_NOT_URL_SAFE = b"\xfb\xff\xbf"
"""Bytes whose base64 has the characters that URLs may not have."""
RIGHT_FORMS: Mapping[str, Callable[[bytes], str]] = {
    "hexadecimal": lambda data: f"0x{data.hex()}",
    "upper case": lambda data: f"0X{data.hex().upper()}",
    "mixed case": lambda data: f"0x{data.hex().title()}",
    "base64": lambda data: f"0b{base64.b64encode(data).decode()}",
    "base64 without padding": lambda data: f"0B{base64.b64encode(data).decode().rstrip('=')}",
    "odd number of digits": lambda data: f"0x{data.hex().removeprefix('0')}",
}
WRONG_FORMS: Mapping[str, Callable[[bytes], str]] = {
    "decimal": lambda data: str(int.from_bytes(data, "big")),
    "no prefix": lambda data: data.hex(),
    "base64 as hexadecimal": lambda data: f"0x{base64.b64encode(data).decode()}",
    "hexadecimal as base64": lambda data: f"0b{data.hex()}",
    "base64 for URLs": lambda data: f"0b{base64.urlsafe_b64encode(_NOT_URL_SAFE + data).decode()}",
    "padding in the middle": lambda data: f"0b{base64.b64encode(data[:1]).decode()}{base64.b64encode(data[1:]).decode()}",
    "too much padding": lambda data: f"0b{base64.b64encode(data).decode()}===",
    "spaces": lambda data: f"0x{data.hex(' ')}",
    "underscores": lambda data: f"0x{data.hex('_')}",
    "only a prefix": lambda data: "0x",
    "text": lambda data: data.decode("latin-1").replace("\0", ""),
}
FORMS = {**RIGHT_FORMS, **WRONG_FORMS}


def naive_bytes(text: str) -> bytes | None:
    """Return the bytes of a value as a naive reader understands it, or None. It accepts more than the array may."""
    prefix, digits = text[:2].lower(), text[2:]
    try:
        if prefix == "0x" and digits.isascii() and digits.isalnum():
            return int(digits, 16).to_bytes((len(digits) + 1) // 2, "big")
        return base64.b64decode(digits.rstrip("=") + "=" * (-len(digits.rstrip("=")) % 4)) if prefix == "0b" else None
    except ValueError:
        return None
