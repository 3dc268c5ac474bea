"""The requests for blocks and digests of snapshots, and the codes of their refusals."""

from odx_target.replica.blocks.limits import MAX_RANGE_BLOCKS
from odx_target.replica.link.messages import Field, Type

BLOCKS_REQUEST = "blocks"
DIGEST_REQUEST = "digest"

GUID_BYTES = 16
DIGEST_BYTES = 16

HOLES = bytes(GUID_BYTES)
"""Base of a volume that has only holes."""

BUSY = "busy"
"""Code of the refusal of a request that the peer may serve later."""

BLOCKS_FIELDS = (
    Field("snapshot", Type.BYTES, GUID_BYTES, GUID_BYTES, "guid of a snapshot of the receiver"),
    Field("first", Type.NUMBER, 0, MAX_RANGE_BLOCKS, "first block of the range"),
    Field("count", Type.NUMBER, 1, MAX_RANGE_BLOCKS, "number of blocks"),
    Field(
        "base",
        Type.BYTES,
        0,
        GUID_BYTES,
        "guid of the snapshot that the requester has already; zeros if it has only holes; empty if this is not known",
        b"",
    ),
)
DIGEST_FIELDS = (Field("snapshot", Type.BYTES, GUID_BYTES, GUID_BYTES, "guid of a snapshot of the receiver"),)
DIGEST_ANSWER_FIELDS = (
    Field("digest", Type.BYTES, DIGEST_BYTES, DIGEST_BYTES, "digest of the snapshot"),
    Field("size_blocks", Type.NUMBER, 0, MAX_RANGE_BLOCKS, "size of the snapshot in blocks"),
)
