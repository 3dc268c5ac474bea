"""The text of login and text PDUs: key=value pairs, each ended by a zero byte (RFC 7143 6.1).

If a text is longer than one PDU, the C bit is set and the text continues in the next PDU. `TextAssembly` joins the parts.
"""

import re
from collections.abc import Iterable
from typing import TypeAlias

from odx_target.environment import Buffer

MAX_KEY_BYTES = 63
"""Longest name of a key (RFC 7143 6.1)."""
MAX_TEXT_BYTES = 65536
"""Maximum length of the text in one negotiation step, which may have several PDUs. The limit is enough for all keys of RFC
7143. With this limit, 64 logins take at most 4 MiB."""
MAX_KEYS = 4096
"""Maximum number of keys in one negotiation, over all its steps. Each key name is kept until the negotiation ends. The RFC has
about fifty keys."""

Pairs: TypeAlias = list[tuple[str, str]]

_KEY = re.compile(r"[A-Za-z][A-Za-z0-9.\-+@_#]*")


class TextError(ValueError):
    """The bytes are not key=value pairs as RFC 7143 6.1 defines them."""


class TextAssembly:
    """Collects the data segments of one negotiation step. The PDU of the last segment has no C bit."""

    __slots__ = ("_max_bytes", "_parts")

    def __init__(self, max_bytes: int = MAX_TEXT_BYTES) -> None:
        self._max_bytes = max_bytes
        self._parts = bytearray()

    def add(self, segment: Buffer) -> None:
        """Add a segment. Raises TextError if the text is longer than `max_bytes`."""
        if len(self._parts) + len(segment) > self._max_bytes:
            raise TextError(f"more than {self._max_bytes} bytes of keys in one step")
        self._parts += segment

    def take(self) -> Pairs:
        """Return the pairs of all segments, and remove the segments, so that the next step can begin. Raises TextError."""
        whole, self._parts = self._parts, bytearray()
        return decode_pairs(whole)


def decode_pairs(text: Buffer) -> Pairs:
    """Return the pairs of a whole text, in order.

    The zero byte at the end may be missing, and additional zero bytes are ignored. Raises TextError.
    """
    pairs = []
    for part in bytes(text).split(b"\0"):
        if part:
            pairs.append(_decode_pair(part))
    return pairs


def _decode_pair(part: bytes) -> tuple[str, str]:
    key_bytes, equals, value_bytes = part.partition(b"=")
    if not equals:
        raise TextError(f"{_shown(part)} has no '='")
    if len(key_bytes) > MAX_KEY_BYTES:
        raise TextError(f"key {_shown(key_bytes)} is longer than {MAX_KEY_BYTES} bytes")
    try:
        key, value = key_bytes.decode("ascii"), value_bytes.decode("utf-8")
    except UnicodeDecodeError as error:
        raise TextError(f"{_shown(part)} is not UTF-8") from error
    if not _KEY.fullmatch(key):
        raise TextError(f"{_shown(key_bytes)} is no key name")
    return key, value


def encode_pairs(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Return the text of pairs, with a zero byte after each pair."""
    return b"".join(f"{key}={value}\0".encode() for key, value in pairs)


def _shown(part: bytes) -> str:
    """Return a peer's bytes as text for a log line, shortened and escaped."""
    return ascii(part[:40].decode("utf-8", "backslashreplace"))
