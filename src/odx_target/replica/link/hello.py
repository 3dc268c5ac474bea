"""HELLO, the first frame of each side, and GOODBYE, the last. Both sides agree on the highest version that both know."""

import hmac
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from odx_target.replica.link.bounded_json import decode_object, encode_object
from odx_target.replica.link.errors import PeerFault
from odx_target.replica.link.limits import MAX_HELLO_BYTES, MAX_TEXT_BYTES
from odx_target.replica.link.messages import Field, Type, read_message, shortened

PROTOCOL_VERSIONS = (1, 1)
"""The lowest and the highest version of the protocol that this program knows."""

MAX_VERSION = 0xFFFF
IDENTITY_BYTES = 16
LIFE_BYTES = 16
CHECK_BYTES = 16


class Role(StrEnum):
    """Purpose of a connection. Both sides must name the same role."""

    BULK = "bulk"
    """Requests, and the data of tokens and snapshots."""


class Side(StrEnum):
    """The side of a connection. The dialler opens even channels, and the acceptor opens odd channels."""

    DIALLER = "dialler"
    ACCEPTOR = "acceptor"


MAX_CODE_CHARACTERS = 32
"""Maximum length of the code in GOODBYE and REFUSAL. Codes are single words."""

HELLO_FIELDS = (
    Field("protocol", Type.NUMBERS, 2, 2, "lowest and highest version of the protocol that the sender knows"),
    Field("role", Type.TEXT, 1, 16, "purpose of the connection: `bulk`"),
    Field("pool", Type.BYTES, IDENTITY_BYTES, IDENTITY_BYTES, "identity of the sender's pool"),
    Field("life", Type.BYTES, LIFE_BYTES, LIFE_BYTES, "random bytes that the sender has made at its start"),
    Field("features", Type.TEXTS, 0, 64, "optional features that the sender knows", ()),
    Field("secret", Type.BYTES, 0, CHECK_BYTES, "first bytes of HMAC-SHA256 of `greeting` under the secret of the path", b""),
)

GOODBYE_FIELDS = (
    Field("code", Type.TEXT, 1, MAX_CODE_CHARACTERS, "reason why the sender ends the connection"),
    Field("text", Type.TEXT, 0, MAX_TEXT_BYTES, "the reason for a person", ""),
)


class Farewell(StrEnum):
    """The code of GOODBYE. A receiver treats an unknown code as `stopping`."""

    STOPPING = "stopping"
    """The sender stops, or the path was removed. The dialler tries again."""
    DUPLICATE = "duplicate"
    """The sender keeps another connection of the same path."""
    VERSION = "version"
    """There is no common version."""
    STRANGER = "stranger"
    """The receiver is not the array that the sender was paired with."""
    FAULT = "fault"
    """The receiver has violated the protocol."""


NEEDS_OPERATOR = frozenset({Farewell.VERSION, Farewell.STRANGER})
"""Codes after which a dialler waits for `REFUSED_RETRY_S`, because only an operator can remove the cause."""


@dataclass(frozen=True, slots=True)
class Hello:
    """The content of a HELLO."""

    pool: bytes
    life: bytes
    versions: tuple[int, int] = PROTOCOL_VERSIONS
    role: Role = Role.BULK
    features: frozenset[str] = frozenset()
    secret_check: bytes = b""
    """Shows if both sides have the same secret of the path. Empty if the sender does not tell."""


class Goodbye(NamedTuple):
    """The content of a GOODBYE."""

    code: Farewell
    text: str


def check_of(secret: bytes) -> bytes:
    """Return the bytes that show a peer which secret of the path this side has. They do not disclose the secret."""
    return hmac.digest(secret, b"greeting", "sha256")[:CHECK_BYTES]


def encode_hello(hello: Hello) -> bytes:
    return encode_object(
        {
            "protocol": list(hello.versions),
            "role": hello.role.value,
            "pool": hello.pool.hex(),
            "life": hello.life.hex(),
            "features": sorted(hello.features),
            "secret": hello.secret_check.hex(),
        }
    )


def decode_hello(body: bytes) -> Hello:
    """Decode the body of a HELLO. Raises PeerFault."""
    found = read_message(HELLO_FIELDS, decode_object(body, MAX_HELLO_BYTES))
    least, most = found.numbers("protocol")
    if not 0 < least <= most <= MAX_VERSION:
        raise PeerFault("the field protocol of a message is not a range of versions")
    if found.text("role") not in set(Role):
        raise PeerFault(f"the role {found.text('role')!r} of the connection is unknown")
    role = Role(found.text("role"))
    features, check = frozenset(found.texts("features")), found.content("secret")
    return Hello(found.content("pool"), found.content("life"), (least, most), role, features, check)


def common_version(ours: tuple[int, int], theirs: tuple[int, int]) -> int | None:
    """Return the highest version in two ranges of versions (lowest, highest). None if there is no common version."""
    highest = min(ours[1], theirs[1])
    return highest if highest >= max(ours[0], theirs[0]) else None


def encode_goodbye(goodbye: Goodbye) -> bytes:
    return encode_object({"code": goodbye.code.value, "text": shortened(goodbye.text)})


def decode_goodbye(body: bytes) -> Goodbye:
    """Decode the body of a GOODBYE. Raises PeerFault."""
    found = read_message(GOODBYE_FIELDS, decode_object(body, MAX_HELLO_BYTES))
    code = found.text("code")
    return Goodbye(Farewell(code) if code in set(Farewell) else Farewell.STOPPING, found.text("text"))
