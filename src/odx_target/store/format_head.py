"""The head of a pool: a small document with the format and identity of the pool, read first and written only once."""

import json
from typing import NamedTuple, Protocol

from odx_target.store.errors import PoolDamaged

FORMAT_VERSION = 1
IDENTITY_BYTES = 16


class Head(NamedTuple):
    format_version: int
    identity: bytes


class HeadStore(Protocol):
    """Storage for the head of one pool."""

    def describe(self) -> str:
        """Name of the document for error messages."""
        ...

    def read(self) -> bytes | None:
        """Read the document; None if it has not been written yet. Raises OSError."""
        ...

    def write(self, document: bytes) -> None:
        """Replace the document atomically; it is durable when the call returns. Raises OSError."""
        ...


class MemoryHead:
    """The head of a pool in memory."""

    def __init__(self, document: bytes | None = None) -> None:
        self.document = document

    def describe(self) -> str:
        return "the head of the pool"

    def read(self) -> bytes | None:
        return self.document

    def write(self, document: bytes) -> None:
        self.document = document


def encode_head(head: Head) -> bytes:
    fields = {"what": "odx-target pool", "format": head.format_version, "identity": head.identity.hex()}
    return json.dumps(fields, indent=2).encode() + b"\n"


def decode_head(document: bytes, name: str) -> Head:
    """Decode the head of a pool. Raises PoolDamaged if it is damaged or has a newer format."""
    try:
        fields = json.loads(document)
        head = Head(fields["format"], bytes.fromhex(fields["identity"]))
        is_ours = fields["what"] == "odx-target pool" and type(head.format_version) is int
    except (ValueError, KeyError, TypeError, RecursionError):
        raise PoolDamaged(f"{name} is damaged or not the head of a pool") from None
    if is_ours and head.format_version > FORMAT_VERSION:
        raise PoolDamaged(
            f"{name} was made by a newer version: format {head.format_version}, this program knows {FORMAT_VERSION}"
        )
    if not is_ours or head.format_version < 1 or len(head.identity) != IDENTITY_BYTES:
        raise PoolDamaged(f"{name} is damaged or not the head of a pool")
    return head
