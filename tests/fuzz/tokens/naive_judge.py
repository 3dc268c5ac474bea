"""A naive judge of tokens: it knows every token that the array has made, and compares bytes (SPC-4 6.18.4, SBC-4 table 154)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

TOKEN_UNKNOWN, TOKEN_CORRUPT, INVALID_LENGTH = "5/23/04", "5/23/05", "5/23/0A"
UNSUPPORTED_TYPE, REMOTE = "5/23/01", "5/23/02"
ZERO_TYPE = b"\xff\xff\x00\x01"
POINT_IN_TIME_TYPES = (b"\x00\x80\x00\x00", b"\x00\x80\x00\x01", b"\x00\x80\x00\x02")
DESIGNATORS = {(2, 8), (2, 12), (2, 16), (3, 8), (3, 16)}
"""The types and lengths of designators that identify a logical unit: EUI-64 and NAA."""


@dataclass(frozen=True)
class NaiveJudge:
    """`made` has the outcome of each token that the array has made, by its 512 bytes. `maker` has bytes 256 to 271 of these
    tokens. `identities` are the designators of the logical units of the array.
    """

    made: Mapping[bytes, str]
    maker: bytes
    identities: Collection[bytes]

    def judge(self, token: bytes) -> str:
        """Return "good", or sense key, ASC and ASCQ."""
        if token[6:8] != b"\x01\xf8":
            return INVALID_LENGTH
        if token[0:4] == ZERO_TYPE:
            return "good"
        if token in self.made:
            return self.made[token]
        creator = self._creator(token)
        if token[256:272] == self.maker or creator in self.identities:
            return TOKEN_CORRUPT
        if token[0:4] not in POINT_IN_TIME_TYPES:
            return UNSUPPORTED_TYPE
        return TOKEN_UNKNOWN if creator is None else REMOTE

    @staticmethod
    def _creator(token: bytes) -> bytes | None:
        """Return the designator of the logical unit that a token claims to be made from, if its descriptor is valid."""
        descriptor = token[16:48]
        is_identification = descriptor[0] == 0xE4
        is_binary = descriptor[4] & 0x0F == 1
        kind, length = descriptor[5] & 0x3F, descriptor[7]
        if is_identification and is_binary and (kind, length) in DESIGNATORS:
            return descriptor[8 : 8 + length]
        return None
