"""The head of a pool: the small document that says what it is, read before anything else and written once."""

import json
from typing import NamedTuple, Protocol

from odx_target.store.errors import PoolDamaged

FORMAT_VERSION = 1
IDENTITY_BYTES = 16


class Head(NamedTuple):
    format_version: int
    identity: bytes


class HeadStore(Protocol):
    """Keeps one document."""

    def describe(self) -> str:
        """Its name for a person."""
        ...

    def read(self) -> bytes | None:
        """The document, or None if none was written yet. Raises OSError."""
        ...

    def write(self, document: bytes) -> None:
        """Replace the document, wholly or not at all; durable when it returns. Raises OSError."""
        ...


class MemoryHead:
    """A head in memory."""

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
    """Raises PoolDamaged where the document is not the head of a pool that this program knows."""
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
