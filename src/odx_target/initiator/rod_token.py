"""What a ROD token says of itself (SPC-4 6.27.4, SBC-3 4.28.5). Nothing in it but its 512 bytes is needed to use it."""

import struct
from dataclasses import dataclass

from odx_target.initiator.errors import BadAnswer
from odx_target.initiator.token_commands import TOKEN_BYTES, RodType

UNKNOWN_BYTES = (1 << 128) - 1
_HEAD = struct.Struct(">L2xHQ32s16s")
_CREATOR_BYTES = 32


@dataclass(frozen=True, slots=True)
class RodToken:
    """The fields of a token. `bytes_represented` is None where the token does not say."""

    rod_type: int
    length: int
    identifier: int
    creator_descriptor: bytes
    bytes_represented: int | None
    block_bytes: int
    target_device_descriptor: bytes

    @property
    def type_words(self) -> str:
        return rod_type_words(self.rod_type)

    @property
    def creator_designator(self) -> bytes:
        """The designator of the logical unit that made it (SPC-4 6.4.5.4)."""
        return self.creator_descriptor[8 : 8 + min(self.creator_descriptor[7], _CREATOR_BYTES - 12)]


def read_rod_token(token: bytes) -> RodToken:
    """Raises BadAnswer for what is not 512 bytes."""
    if len(token) != TOKEN_BYTES:
        raise BadAnswer(f"a ROD token has {TOKEN_BYTES} bytes, not {len(token)}")
    rod_type, length, identifier, creator, represented = _HEAD.unpack_from(token)
    count_bytes = int.from_bytes(represented, "big")
    return RodToken(
        rod_type=rod_type,
        length=length,
        identifier=identifier,
        creator_descriptor=creator,
        bytes_represented=None if count_bytes == UNKNOWN_BYTES else count_bytes,
        block_bytes=int.from_bytes(token[96:100], "big"),
        target_device_descriptor=token[128:256],
    )


def rod_type_words(rod_type: int) -> str:
    try:
        return RodType(rod_type).name.lower().replace("_", " ")
    except ValueError:
        return "unknown type"
