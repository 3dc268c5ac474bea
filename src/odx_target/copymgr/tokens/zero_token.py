"""The block device zero ROD token, with which WRITE USING TOKEN writes zeros (SBC-4 4.28.4.3).

Every copy manager accepts this token.
"""

import struct

from odx_target.copymgr.tokens.format import ROD_TOKEN_LENGTH
from odx_target.copymgr.tokens.rod_types import RodType

ZERO_TOKEN = struct.pack(">I2xH504x", RodType.BLOCK_DEVICE_ZERO, ROD_TOKEN_LENGTH)
"""The 512 bytes of the token."""

_TYPE_BYTES = 4


def is_zero_token(token: bytes) -> bool:
    """True if a token, or its beginning, has the type of the zero token. The other bytes are ignored, as SBC-4 requires."""
    return int.from_bytes(token[:_TYPE_BYTES], "big") == RodType.BLOCK_DEVICE_ZERO
