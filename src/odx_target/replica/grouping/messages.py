"""The requests that make and remove groups, and the answers."""

from odx_target.replica.blocks.limits import MAX_RANGE_BLOCKS
from odx_target.replica.link.bounded_json import MAX_NUMBER
from odx_target.replica.link.limits import MAX_TEXT_BYTES
from odx_target.replica.link.messages import Field, Type
from odx_target.replica.sync.limits import MAX_GROUP_VOLUMES, MAX_OUT_OF_SYNC_S, MIN_OUT_OF_SYNC_S

VOLUME_REQUEST = "group volume"
WITNESS_REQUEST = "group witness"
BEGIN_REQUEST = "group begin"
FORGET_REQUEST = "group forget"
LUN_REQUEST = "group lun"
NEW_WITNESS_REQUEST = "group new witness"
USE_WITNESS_REQUEST = "group use witness"

TAKEN = "taken"
"""Code of a refusal: the array has another group, volume or LUN in the place of the wanted one."""
NO_ROOM = "room"
"""Code of a refusal: the array has no room for the data of the volumes."""
NO_WITNESS = "witness"
"""Code of a refusal: the array has no path to the witness, or the witness has none to the other member."""
IN_USE = "in use"
"""Code of a refusal: the array serves the group, may take it over, or is changing it for another request."""
STORAGE = "storage"
"""Code of a refusal: the pool of the array refuses the change."""
NOT_YET = "not yet"
"""Code of a refusal: the volume has not come to the group here yet."""

NO_LUN = 65535
"""Stands for a volume without a LUN number."""

FIRST_EPOCH = 1
"""Epoch of the register of a new group. In this epoch, the other member was never in sync."""

_GROUP = Field("group", Type.TEXT, 1, MAX_TEXT_BYTES, "name of the group")
_POOL = (Type.BYTES, 16, 16)

VOLUME_FIELDS = (
    _GROUP,
    Field("witness", *_POOL, "identity of the pool of the witness"),
    Field("volume", *_POOL, "identity by which hosts know the volume"),
    Field("name", Type.TEXT, 1, MAX_TEXT_BYTES, "name of the volume"),
    Field("size_blocks", Type.NUMBER, 1, MAX_RANGE_BLOCKS, "size of the volume"),
    Field("size_bytes", Type.NUMBER, 1, MAX_NUMBER, "size of the LUN"),
    Field("block_bytes", Type.NUMBER, 512, 4096, "logical block length of the LUN: 512 or 4096"),
    Field("lun", Type.NUMBER, 0, NO_LUN, f"number of the LUN at the other member; {NO_LUN} if hosts cannot use the volume"),
    Field("data_bytes", Type.NUMBER, 0, MAX_NUMBER, "data of all volumes of the group"),
)
"""The primary asks the other member to make a volume of a new group, or to find the one that it has made."""

WITNESS_FIELDS = (
    _GROUP,
    Field("peer", *_POOL, "identity of the pool of the other member"),
    Field("number", Type.NUMBER, 0, MAX_NUMBER, "random number of the record of the witness"),
)
"""The primary asks an array to become the witness."""

BEGIN_FIELDS = (
    _GROUP,
    Field("witness", *_POOL, "identity of the pool of the witness"),
    Field("volumes", Type.TEXTS, 1, MAX_GROUP_VOLUMES, "identities of the volumes, in the order of the group"),
    Field("luns", Type.NUMBERS, 1, MAX_GROUP_VOLUMES, f"numbers of their LUNs at the other member; {NO_LUN} for none"),
    Field("number", Type.NUMBER, 0, MAX_NUMBER, "number of the record of the witness"),
    Field(
        "out_of_sync_ms",
        Type.NUMBER,
        int(MIN_OUT_OF_SYNC_S * 1000),
        int(MAX_OUT_OF_SYNC_S * 1000),
        "time without an acknowledgement after which the other member is out of sync",
    ),
)
"""The primary asks the other member to begin, after the witness has the register."""

FORGET_FIELDS = (
    _GROUP,
    Field("epoch", Type.NUMBER, FIRST_EPOCH, MAX_NUMBER, "epoch of the register of the sender, which is the primary"),
    Field("keeps_copies", Type.NUMBER, 0, 1, "1 if the other member keeps its copies as volumes with new identities"),
    Field("resigns", Type.NUMBER, 0, 1, "1 if the other member forgets the group although it is in sync", 0),
)
"""The primary asks the other member or the witness to forget a group. An array without the group has nothing to do."""

LUN_FIELDS = (
    _GROUP,
    Field("volume", *_POOL, "identity of the volume"),
    Field("name", Type.TEXT, 1, MAX_TEXT_BYTES, "name of the volume"),
    Field("size_bytes", Type.NUMBER, 1, MAX_NUMBER, "size of the LUN"),
    Field("block_bytes", Type.NUMBER, 512, 4096, "logical block length of the LUN: 512 or 4096"),
    Field("lun", Type.NUMBER, 0, NO_LUN, f"number of the LUN at the other member; {NO_LUN} if hosts cannot use the volume"),
    Field("step", Type.TEXT, 1, MAX_TEXT_BYTES, "`check join`, `present` or `check leave`"),
)
"""The primary asks the other member if it can have the LUN of a volume that comes to a group, then to present it. It also asks
if the LUN of a volume that leaves can be taken away from hosts."""

CHECK_JOIN, PRESENT, CHECK_LEAVE = "check join", "present", "check leave"

NEW_WITNESS_FIELDS = (
    _GROUP,
    Field("peer", *_POOL, "identity of the pool of the other member"),
    Field("is_kept", Type.NUMBER, 0, 1, "1 if an array that is the witness of the group already has nothing to do"),
)
"""The primary asks an array to become the witness of a group whose register its members must tell first."""

USE_WITNESS_FIELDS = (_GROUP, Field("witness", *_POOL, "identity of the pool of the witness"))
"""The primary asks the other member to use another witness."""
