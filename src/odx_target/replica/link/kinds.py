"""The kinds of frames. One row for each kind dispatches, checks and documents the frames of this kind."""

from enum import IntEnum, IntFlag
from typing import NamedTuple

from odx_target.replica.link.limits import MAX_BODY_BYTES, MAX_HELLO_BYTES, MAX_JSON_BYTES

SKIPPABLE = 0x80
"""Bit of a kind. A receiver skips a frame of an unknown kind with this bit, and ends the connection at one without it."""


class Kind(IntEnum):
    """Number of a kind of frame, in the first byte of its header."""

    HELLO = 0x01
    GOODBYE = 0x02
    PING = 0x03
    PONG = 0x04
    CREDIT = 0x05
    REQUEST = 0x10
    ANSWER = 0x11
    REFUSAL = 0x12
    CLOSE = 0x13
    OFFER = 0x20
    WANT = 0x21
    DATA = 0x22
    SHIP = 0x30
    SHIPPED = 0x31
    FLUSH = 0x32
    FLUSHED = 0x33
    COMPLETE = 0x34
    MEMBERSHIP = 0x35
    RESYNC = 0x36
    CHANGED = 0x37
    ANCHORED = 0x38
    PREPARE = 0x39
    PREPARED = 0x3A
    READ = 0x3B
    READ_DIGEST = 0x3C
    PAIR_OPEN = 0x40
    PAIR_CHALLENGE = 0x41
    PAIR_PROOF = 0x42
    PAIR_CONFIRM = 0x43


class Flag(IntFlag):
    """Bits of the flags of a frame, in the second byte of its header."""

    LZ4 = 1
    ZSTANDARD = 2
    END = 4


class Scope(IntEnum):
    """Channels on which a kind of frame is allowed."""

    CONNECTION = 0
    """Only channel 0, which exists for the whole life of the connection."""
    CHANNEL = 1
    """Any other channel."""


class KindRow(NamedTuple):
    """The rules of a kind of frame.

    A frame with `is_credited` uses up credit of its channel. `argument` and `body` describe these parts for the documentation.
    """

    kind: Kind
    scope: Scope
    max_body_bytes: int
    flags: Flag
    is_credited: bool
    argument: str
    body: str


NO_FLAGS = Flag(0)

MAX_CHALLENGE_BYTES = 64
"""Size of the longest frame of a pairing without a certificate."""

ROWS: tuple[KindRow, ...] = (
    KindRow(Kind.HELLO, Scope.CONNECTION, MAX_HELLO_BYTES, NO_FLAGS, False, "0", "HELLO message"),
    KindRow(Kind.GOODBYE, Scope.CONNECTION, MAX_HELLO_BYTES, NO_FLAGS, False, "0", "GOODBYE message"),
    KindRow(Kind.PING, Scope.CONNECTION, 0, NO_FLAGS, False, "any number", "empty"),
    KindRow(Kind.PONG, Scope.CONNECTION, 0, NO_FLAGS, False, "that of the PING", "empty"),
    KindRow(Kind.CREDIT, Scope.CHANNEL, 0, NO_FLAGS, False, "additional credit in bytes", "empty"),
    KindRow(Kind.REQUEST, Scope.CHANNEL, MAX_JSON_BYTES, NO_FLAGS, False, "class of the channel", "request message"),
    KindRow(Kind.ANSWER, Scope.CHANNEL, MAX_JSON_BYTES, NO_FLAGS, False, "0", "answer message"),
    KindRow(Kind.REFUSAL, Scope.CHANNEL, MAX_JSON_BYTES, NO_FLAGS, False, "0", "REFUSAL message"),
    KindRow(Kind.CLOSE, Scope.CHANNEL, 0, NO_FLAGS, False, "0", "empty"),
    KindRow(Kind.OFFER, Scope.CHANNEL, MAX_BODY_BYTES, Flag.END, True, "number of the first block", "offer"),
    KindRow(Kind.WANT, Scope.CHANNEL, MAX_BODY_BYTES, NO_FLAGS, True, "that of the OFFER", "want"),
    KindRow(Kind.DATA, Scope.CHANNEL, MAX_BODY_BYTES, Flag.LZ4 | Flag.ZSTANDARD, True, "that of the OFFER", "data"),
    KindRow(Kind.SHIP, Scope.CHANNEL, MAX_BODY_BYTES, Flag.END, True, "OSN of the last change", "shipment"),
    KindRow(Kind.SHIPPED, Scope.CHANNEL, 4, NO_FLAGS, True, "OSN of the last SHIP with the flag 4", "time"),
    KindRow(Kind.FLUSH, Scope.CHANNEL, 0, NO_FLAGS, True, "any number", "empty"),
    KindRow(Kind.FLUSHED, Scope.CHANNEL, 0, NO_FLAGS, True, "that of the FLUSH", "empty"),
    KindRow(Kind.COMPLETE, Scope.CHANNEL, 0, NO_FLAGS, True, "OSN up to which the stream is complete", "empty"),
    KindRow(Kind.MEMBERSHIP, Scope.CHANNEL, MAX_HELLO_BYTES, NO_FLAGS, True, "0", "message of the membership"),
    KindRow(Kind.RESYNC, Scope.CHANNEL, 16, NO_FLAGS, True, "0", "guid of an anchor, or empty"),
    KindRow(Kind.CHANGED, Scope.CHANNEL, MAX_BODY_BYTES, Flag.END, True, "0", "ranges"),
    KindRow(Kind.ANCHORED, Scope.CHANNEL, 2 * MAX_HELLO_BYTES, NO_FLAGS, True, "0", "guid of an anchor, and digests"),
    KindRow(Kind.PREPARE, Scope.CHANNEL, MAX_JSON_BYTES, NO_FLAGS, True, "number of the change", "JSON object"),
    KindRow(Kind.PREPARED, Scope.CHANNEL, MAX_HELLO_BYTES, NO_FLAGS, True, "that of the PREPARE", "empty, or a reason"),
    KindRow(Kind.READ, Scope.CHANNEL, 10, NO_FLAGS, True, "number of the first block", "part"),
    KindRow(Kind.READ_DIGEST, Scope.CHANNEL, 33, NO_FLAGS, True, "that of the READ", "digest of the part"),
    KindRow(Kind.PAIR_OPEN, Scope.CONNECTION, MAX_HELLO_BYTES, NO_FLAGS, False, "0", "PAIR_OPEN"),
    KindRow(Kind.PAIR_CHALLENGE, Scope.CONNECTION, MAX_CHALLENGE_BYTES, NO_FLAGS, False, "0", "PAIR_CHALLENGE"),
    KindRow(Kind.PAIR_PROOF, Scope.CONNECTION, MAX_CHALLENGE_BYTES, NO_FLAGS, False, "0", "PAIR_PROOF"),
    KindRow(Kind.PAIR_CONFIRM, Scope.CONNECTION, MAX_CHALLENGE_BYTES, NO_FLAGS, False, "0", "PAIR_CONFIRM"),
)

BY_NUMBER: dict[int, KindRow] = {row.kind.value: row for row in ROWS}
