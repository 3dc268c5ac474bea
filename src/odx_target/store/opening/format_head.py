"""The head of a pool: a small document with the format, identity and epoch of the pool. The head is read before all other data.

Each process that opens the pool increases the epoch by compare-and-set, and writes the new epoch into its batches. Some storage
has no lock. If two processes open a pool in such storage, only the process with the higher epoch can continue the log.

A pool that lost its catalogue is rebuilt from its log. This is possible only if the log contains all changes since the pool was
made. Otherwise the head is marked as `cleaned`. This mark is set before the first segment is freed. It is also set before a
record that waits for room is dropped, because a checkpoint contains the change of the record. A repair sets this mark if a part
of the log is lost.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from odx_target.store.errors import HeadDamaged, PoolDamaged, PoolInUse

FORMAT_VERSION = 3
OLDEST_FORMAT = 2
SHARED_HEADERS_FORMAT = 3
"""Format from which on batches of the log share header blocks. A program that knows only older formats would take the first of
these blocks for the end of the log. So the head gets the new format before the first of these blocks is written."""

IDENTITY_BYTES = 16
FIRST_EPOCH = 1

_KNOWN = f"{OLDEST_FORMAT} and {FORMAT_VERSION}"
_IDENTITY_FIELDS = ("identity", "array_identity", "names_identity")


class Head(NamedTuple):
    """The fields of the head.

    `identity` is in all batches, footers and checkpoints, and never changes. `cleaned` is True if the log does not contain all
    changes since the pool was made. `array_identity` identifies the pool to hosts and in tokens. `names_identity` determines
    the public identities of the volumes. In a new pool, `array_identity` and `names_identity` are equal to `identity`. They can
    be renewed in a copy of the pool (see `renewal`). `capacity_directory` is the absolute path of the directory of the capacity
    tier. It is empty if the pool has no capacity tier. A pool that has had a capacity tier always needs it, unless a repair has
    given the tier up.
    """

    format_version: int
    identity: bytes
    epoch: int
    cleaned: bool
    array_identity: bytes
    names_identity: bytes
    capacity_directory: str = ""

    def public_identity(self, volume_identity: bytes) -> bytes:
        """Return the identity by which hosts know a volume. Two pools with the same `names_identity` return the same result."""
        if self.names_identity == self.identity:
            return volume_identity
        return hashlib.sha256(b"public identity:" + self.names_identity + volume_identity).digest()[:IDENTITY_BYTES]


def new_head(identity: bytes) -> Head:
    """Return the head of a new pool."""
    return Head(FORMAT_VERSION, identity, FIRST_EPOCH, False, identity, identity)


class HeadStore(Protocol):
    """Storage for the head of one pool. The head is stored as one document."""

    def describe(self) -> str:
        """Return the name of the document, for error messages."""
        ...

    def read(self) -> bytes | None:
        """Read the document. Returns None if no document has been written yet. Raises OSError."""
        ...

    def replace(self, expected: bytes | None, document: bytes) -> None:
        """Replace the document atomically if the present document is `expected`. The new document is durable after the call.

        `expected` is None if there must be no document yet. Raises PoolInUse if the present document is not `expected`. Raises
        OSError if the document cannot be written.
        """
        ...


class OpenHead:
    """The head of an open pool. If another process has opened the pool since, this process can no longer change the head."""

    def __init__(self, store: HeadStore, document: bytes) -> None:
        """Decode the present document. Raises PoolDamaged."""
        self._store = store
        self._document = document
        self.fields = decode_head(document, store.describe())

    def replace(self, fields: Head) -> None:
        """Replace the head durably. This method waits for the disk. Raises PoolInUse if another process has opened the pool.
        Raises OSError.
        """
        document = encode_head(fields)
        self._store.replace(self._document, document)
        self._document, self.fields = document, fields

    def mark_cleaned(self) -> None:
        """Mark the head durably as `cleaned`. The mark means that the log does not contain all changes since the pool was made.
        Does nothing if the head is marked already.

        This method waits for the disk. Raises PoolInUse, OSError.
        """
        if not self.fields.cleaned:
            self.replace(self.fields._replace(cleaned=True))


class MemoryHead:
    """The head of a pool in memory."""

    def __init__(self, document: bytes | None = None) -> None:
        self.document = document

    def describe(self) -> str:
        return "the head of the pool"

    def read(self) -> bytes | None:
        return self.document

    def replace(self, expected: bytes | None, document: bytes) -> None:
        check_unchanged(self.document, expected, self.describe())
        self.document = document


def check_unchanged(present: bytes | None, expected: bytes | None, name: str) -> None:
    """Raise PoolInUse if the present head is not the expected head."""
    if present != expected:
        raise PoolInUse(f"{name} was changed by another process that opened the pool")


def checkpoint_fields(head: Head) -> dict[str, str]:
    """Return the fields of a head that each checkpoint repeats, so that a lost head can be made again."""
    return {
        "identity": head.identity.hex(),
        "array_identity": head.array_identity.hex(),
        "names_identity": head.names_identity.hex(),
        "capacity_directory": head.capacity_directory,
    }


def head_of_checkpoint(fields: Mapping[str, Any]) -> tuple[Head, bool]:
    """Make a head from the fields of a pool in a checkpoint. Also return True if the checkpoint has all fields of
    `checkpoint_fields`; those of older programs have only the identity. Raises PoolDamaged if a field is not valid.
    """
    try:
        identity = fields["identity"]
        own, array, names = (bytes.fromhex(fields.get(name, identity)) for name in _IDENTITY_FIELDS)
        capacity = fields.get("capacity_directory", "")
    except (ValueError, KeyError, TypeError):
        raise PoolDamaged("the identity of the pool in the catalogue is not valid") from None
    head = Head(FORMAT_VERSION, own, FIRST_EPOCH, False, array, names, capacity)
    # The same checks as for a head on the disk.
    return decode_head(encode_head(head), "the head in the catalogue"), set(_IDENTITY_FIELDS) <= fields.keys()


def encode_head(head: Head) -> bytes:
    fields = {
        "what": "odx-target pool",
        "format": head.format_version,
        "identity": head.identity.hex(),
        "epoch": head.epoch,
        "cleaned": head.cleaned,
        "array_identity": head.array_identity.hex(),
        "names_identity": head.names_identity.hex(),
        **({"capacity_directory": head.capacity_directory} if head.capacity_directory else {}),
    }
    return json.dumps(fields, indent=2).encode() + b"\n"


def decode_head(document: bytes, name: str) -> Head:
    """Decode the head of a pool. Raises HeadDamaged if it is damaged, and PoolDamaged if it has or may have another format."""
    try:
        fields = json.loads(document)
        identity = fields["identity"]
        identities = [identity, *(fields.get(name, identity) for name in ("array_identity", "names_identity"))]
        own, array, names = map(bytes.fromhex, identities)
        epoch, cleaned, capacity = fields.get("epoch", 0), fields.get("cleaned", False), fields.get("capacity_directory", "")
        head = Head(fields["format"], own, epoch, cleaned, array, names, capacity)
        is_ours = fields["what"] == "odx-target pool" and type(head.format_version) is type(head.epoch) is int
        is_ours = (
            is_ours
            and type(head.cleaned) is bool
            and type(capacity) is str
            and "\0" not in capacity
            and len(array) == len(names) == IDENTITY_BYTES
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        raise _damaged(document, name) from None
    if is_ours and head.format_version > FORMAT_VERSION:
        raise PoolDamaged(f"{name} was made by a newer version: format {head.format_version}, this program knows {_KNOWN}")
    if is_ours and 1 <= head.format_version < OLDEST_FORMAT:
        raise PoolDamaged(f"{name} was made by an older version: format {head.format_version}, this program knows {_KNOWN}")
    if not is_ours or head.format_version < 1 or head.epoch < 1 or len(head.identity) != IDENTITY_BYTES:
        raise _damaged(document, name)
    return head


def _damaged(document: bytes, name: str) -> PoolDamaged:
    """Return the exception for a head that is not valid. No repair may replace it if another version may have written it."""
    kind = PoolDamaged if _has_other_format(document) else HeadDamaged
    return kind(f"{name} is damaged or not the head of a pool")


def _has_other_format(document: bytes) -> bool:
    try:
        version = json.loads(document)["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
    return type(version) is int and not OLDEST_FORMAT <= version <= FORMAT_VERSION
