"""The requests about tokens, their answers, and the codes of refusals.

`open-token` is TOKEN_OPEN, its answer is TOKEN_OPENED, and its refusal is TOKEN_REFUSED. `close-token` is TOKEN_CLOSE.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from odx_target.copymgr.tokens.format import TOKEN_BYTES
from odx_target.copymgr.tokens.judgement import TOKEN_ERRORS
from odx_target.replica.blocks.limits import MAX_RANGE_BLOCKS
from odx_target.replica.link.bounded_json import Json
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.limits import MAX_TEXT_BYTES
from odx_target.replica.link.messages import Field, Type, read_message, shortened
from odx_target.scsi.sense import Condition
from odx_target.store.api import BLOCK_BYTES

OPEN_REQUEST = "open-token"
CLOSE_REQUEST = "close-token"
BLOCKS_REQUEST = "token-blocks"
MAKE_REQUEST = "make-token"
WRITE_REQUEST = "write-unit"

LEASE_BYTES = 16
MAX_DESTINATION_BYTES = 20
MAX_ROD_TYPE = 0xFFFF_FFFF
MAX_LBA = (1 << 53) - 1
"""No logical unit has so many blocks."""
MAX_COUNT_BLOCKS = 0xFFFF_FFFF
"""Maximum number of blocks of a range of WRITE USING TOKEN."""
MAX_SENSE_BYTES = 96
"""Maximum size of forwarded sense data. The sense data of a token command is shorter."""
TOKEN_TEXTS = 8
"""A token is sent as this number of texts, because a text of the link is too short for a token."""
TEXT_BYTES = TOKEN_BYTES // TOKEN_TEXTS

OPEN_FIELDS = (
    Field("token", Type.TEXTS, TOKEN_TEXTS, TOKEN_TEXTS, f"the token, {TEXT_BYTES} bytes in hexadecimal in each text"),
    Field("initiator", Type.TEXT, 0, MAX_TEXT_BYTES, "name of the initiator that uses the token"),
    Field("destination", Type.BYTES, 0, MAX_DESTINATION_BYTES, "NAA designator of the logical unit that is written"),
)
MAKE_FIELDS = (
    Field("unit", Type.BYTES, 1, MAX_DESTINATION_BYTES, "NAA designator of a logical unit of the maker"),
    Field("initiator", Type.TEXT, 1, MAX_TEXT_BYTES, "name of the initiator that copies the logical unit"),
    Field("block_bytes", Type.NUMBER, 1, BLOCK_BYTES, "logical block length that the logical unit must have"),
    Field("offset_bytes", Type.NUMBER, 0, MAX_RANGE_BLOCKS * BLOCK_BYTES, "first byte of the range"),
    Field("size_bytes", Type.NUMBER, 1, MAX_RANGE_BLOCKS * BLOCK_BYTES, "number of bytes"),
)
WRITE_FIELDS = (
    Field("token", Type.TEXTS, TOKEN_TEXTS, TOKEN_TEXTS, f"the token, {TEXT_BYTES} bytes in hexadecimal in each text"),
    Field("unit", Type.BYTES, 1, MAX_DESTINATION_BYTES, "NAA designator of a logical unit of the receiver"),
    Field("initiator", Type.TEXT, 1, MAX_TEXT_BYTES, "name of the initiator that copies to the logical unit"),
    Field("block_bytes", Type.NUMBER, 1, BLOCK_BYTES, "logical block length that the logical unit must have"),
    Field("first", Type.NUMBER, 0, MAX_LBA, "LBA of the first block to write"),
    Field("count", Type.NUMBER, 1, MAX_COUNT_BLOCKS, "number of blocks"),
    Field("offset", Type.NUMBER, 0, MAX_LBA, "blocks of the token's data before the first block"),
)
WRITTEN_FIELDS = (
    Field("blocks", Type.NUMBER, 0, MAX_COUNT_BLOCKS, "number of blocks that were written, from the first one on"),
    Field("is_partial", Type.NUMBER, 0, 1, "1 if the time of the command was up, so that the rest can be requested again"),
    Field("status", Type.NUMBER, 0, 0xFF, "SCSI status of the command"),
    Field("sense", Type.BYTES, 0, MAX_SENSE_BYTES, "its sense data; empty if there is none"),
)
MADE_FIELDS = (
    Field("token", Type.TEXTS, TOKEN_TEXTS, TOKEN_TEXTS, f"the token, {TEXT_BYTES} bytes in hexadecimal in each text"),
)
OPENED_FIELDS = (
    Field("lease", Type.BYTES, LEASE_BYTES, LEASE_BYTES, "random bytes that identify the lease on the token"),
    Field("size_bytes", Type.NUMBER, 0, MAX_RANGE_BLOCKS * BLOCK_BYTES, "number of bytes that the token represents"),
    Field("block_bytes", Type.NUMBER, 1, BLOCK_BYTES, "logical block length in the token"),
    Field("rod_type", Type.NUMBER, 0, MAX_ROD_TYPE, "ROD type of the token"),
)
CLOSE_FIELDS = (
    Field("lease", Type.BYTES, LEASE_BYTES, LEASE_BYTES, "the lease"),
    Field("delete", Type.NUMBER, 0, 1, "1 if the token is deleted, because a host has set DEL_TKN"),
)
BLOCKS_FIELDS = (
    Field("lease", Type.BYTES, LEASE_BYTES, LEASE_BYTES, "the lease"),
    Field("first", Type.NUMBER, 0, MAX_RANGE_BLOCKS, "first block of the range; block 0 begins at byte 0 of the token's data"),
    Field("count", Type.NUMBER, 1, MAX_RANGE_BLOCKS, "number of blocks"),
)

ABSENT_UNIT = "absent"
"""Code of the refusal of `make-token` or `write-unit` if the array has no such logical unit for the initiator."""

UNIT_CODES: dict[str, str] = {
    ABSENT_UNIT: "the array has no such logical unit for this initiator",
    "block-length": "the logical unit has another logical block length",
    "range": "the range is not inside the logical unit",
    "reserved": "a reservation keeps the initiator out",
    "group": "the logical unit belongs to a group of two arrays, which no other array can write",
}
"""The codes of refusals of `make-token` and `write-unit`, and their meanings."""

LEASE_ENDED = "lease"
"""Code of the refusal of a request that names a lease which has ended or never existed."""

TOKEN_CODES: dict[int, str] = {
    0x00: "token-invalid",
    0x01: "token-type",
    0x02: "token-remote",
    0x04: "token-unknown",
    0x05: "token-corrupt",
    0x06: "token-revoked",
    0x07: "token-expired",
    0x08: "token-cancelled",
    0x09: "token-deleted",
    0x0A: "token-length",
}
"""The code of the refusal of a token, by the ASCQ that a host of the maker would get. The ASC is 23h."""

CONDITIONS: dict[str, Condition] = {code: TOKEN_ERRORS[ascq][0] for ascq, code in TOKEN_CODES.items()}
"""The condition for each code of a refused token."""


class OpenedToken(NamedTuple):
    """The answer to TOKEN_OPEN."""

    lease: bytes
    size_bytes: int
    block_bytes: int
    rod_type: int


def open_request(token: bytes, initiator_name: str, destination: bytes) -> dict[str, Json]:
    """Return the request TOKEN_OPEN for a token of 512 bytes."""
    return {
        "request": OPEN_REQUEST,
        "token": texts_of(token),
        "initiator": shortened(initiator_name),
        "destination": destination[:MAX_DESTINATION_BYTES].hex(),
    }


def texts_of(token: bytes) -> list[Json]:
    """Return a token of 512 bytes as the texts of a message."""
    return [token[at : at + TEXT_BYTES].hex() for at in range(0, TOKEN_BYTES, TEXT_BYTES)]


def token_in(texts: Sequence[str]) -> bytes:
    """Return the token of a message. Raises PeerFault, whose message does not contain the token."""
    try:
        parts = [bytes.fromhex(text) for text in texts]
    except ValueError:
        parts = []
    if len(parts) != TOKEN_TEXTS or any(len(part) != TEXT_BYTES for part in parts):
        raise PeerFault("the token of a message is not 512 bytes in hexadecimal")
    return b"".join(parts)


def read_opened(document: Mapping[str, Json]) -> OpenedToken:
    """Check the answer to TOKEN_OPEN. Raises PeerFault."""
    found = read_message(OPENED_FIELDS, document)
    numbers = (found.number(field.name) for field in OPENED_FIELDS[1:])
    return OpenedToken(found.content("lease"), *numbers)
