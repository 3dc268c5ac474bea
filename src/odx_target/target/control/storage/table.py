"""The table of the operations on volumes and snapshots."""

from collections.abc import Mapping

from odx_target.scsi.commands.identification import IDENTIFYING_ATTRIBUTES
from odx_target.store.api import COMPRESSION_ATTRIBUTE, COMPRESSIONS, TIER_ATTRIBUTE, Tier
from odx_target.target.config.error import ConfigError
from odx_target.target.config.parsing import LUN_FORM, parse_choice
from odx_target.target.control import arguments
from odx_target.target.control.arguments import Argument
from odx_target.target.control.describe import Data
from odx_target.target.control.operation import Operation, performed
from odx_target.target.control.storage import differences, luns, snapshots, volumes
from odx_target.target.control.storage.names import SnapshotName, parse_new_name, parse_snapshot_name
from odx_target.target.control.storage.schedules import SCHEDULE_OPERATIONS
from odx_target.target.control.storage.status import status
from odx_target.target.control.storage.storage import Storage
from odx_target.target.logical_units import BLOCK_ATTRIBUTE, LUN_ATTRIBUTE, READ_ONLY_ATTRIBUTE
from odx_target.target.lun_size import SIZE_ATTRIBUTE
from odx_target.target.schedules.fields import parse_command, parse_on_failure, parse_timeout
from odx_target.target.schedules.schedule import DEFAULT_TIMEOUT_S, OnFailure
from odx_target.target.schedules.taking import OWN_ATTRIBUTES

MAX_ATTRIBUTE_TEXT = 1024
"""Maximum length of the name and of the value of a snapshot attribute. Operators choose these attributes."""

ATTRIBUTES_OF_THE_ARRAY = (
    SIZE_ATTRIBUTE,
    BLOCK_ATTRIBUTE,
    COMPRESSION_ATTRIBUTE,
    TIER_ATTRIBUTE,
    LUN_ATTRIBUTE,
    READ_ONLY_ATTRIBUTE,
    *IDENTIFYING_ATTRIBUTES,
    *OWN_ATTRIBUTES,
)
"""Attributes that operators cannot choose for a snapshot, because the array sets and reads them."""


def _snapshot_names(value: object) -> list[SnapshotName]:
    if not isinstance(value, list) or not value:
        raise ConfigError(f"snapshots: want a list of VOLUME@NAME, not {value!r}")
    return [parse_snapshot_name(each) for each in value]


def _attributes(value: object) -> Mapping[str, str]:
    texts = [*value, *value.values()] if isinstance(value, dict) else [None]
    if not all(isinstance(text, str) and text.isprintable() and len(text) <= MAX_ATTRIBUTE_TEXT for text in texts):
        raise ConfigError(f"attributes: want names and values of at most {MAX_ATTRIBUTE_TEXT} printable characters")
    assert isinstance(value, dict)
    for name in ATTRIBUTES_OF_THE_ARRAY:
        if name in value:
            raise ConfigError(f"attributes: only the array sets {name!r}")
    return value


def _tier(value: object) -> str:
    return str(parse_choice(Tier, value, "tier: "))


def _number(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 60:
        raise ConfigError(f"want a number, not {value!r}")
    return value


_NAME = Argument("name", "the name of the volume", arguments.text)
_SNAPSHOT = Argument("snapshot", "VOLUME@NAME, or a guid", arguments.text)
_NEW_NAME = Argument("new_name", "the new name", parse_new_name)
_OWNER = Argument("owner", "the owner of the hold", parse_new_name)
_BLOCK = Argument("block", "the value of `next` of the previous page", _number, 0)

STORAGE_OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation(
            "status",
            status,
            (
                Argument("space", "true to count the data of all volumes first", arguments.flag, False),
                Argument("busiest", "the largest number of volumes to list, those with the most commands", _number, None),
            ),
        ),
        Operation(
            "volumes",
            volumes.volumes,
            (Argument("hidden", "true to list also the volumes for arriving data of tokens", arguments.flag, False),),
        ),
        Operation(
            "volume-create",
            volumes.create,
            (
                Argument("volume", LUN_FORM, arguments.lun),
                Argument("lun", "true if hosts can use it", arguments.flag, False),
            ),
            is_recorded=True,
        ),
        Operation("volume-rename", volumes.rename, (_NAME, _NEW_NAME), is_recorded=True),
        Operation(
            "volume-resize",
            volumes.resize,
            (
                _NAME,
                Argument("size", "bytes, or a text such as 10G", arguments.size),
                Argument("shrink", "true if the end of the volume may be lost", arguments.flag, False),
            ),
            is_recorded=True,
        ),
        Operation(
            "volume-set",
            volumes.set_values,
            (
                _NAME,
                Argument("compression", " or ".join(COMPRESSIONS), arguments.compression, None),
                Argument("tier", " or ".join(Tier), _tier, None),
            ),
            is_recorded=True,
        ),
        Operation(
            "volume-delete",
            volumes.delete,
            (_NAME, Argument("force", "true if hosts may lose the volume", arguments.flag, False)),
            is_recorded=True,
        ),
        Operation(
            "volume-read-only",
            luns.set_read_only,
            (_NAME, Argument("read_only", "true if hosts cannot write", arguments.flag)),
            is_recorded=True,
        ),
        Operation("lun-add", luns.add, (_NAME, Argument("number", "the LUN number", luns.lun_number, None)), is_recorded=True),
        Operation("lun-remove", luns.remove, (_NAME,), is_recorded=True),
        Operation(
            "lun-renumber", luns.renumber, (_NAME, Argument("number", "the new LUN number", luns.lun_number)), is_recorded=True
        ),
        Operation(
            "clone",
            volumes.clone,
            (
                Argument("origin", "VOLUME, VOLUME@NAME or a guid", arguments.text),
                Argument("name", "the name of the clone; {} is its number", arguments.text),
                Argument("count", "the number of clones", _number, 1),
                Argument("first", "the number of the first clone", _number, 1),
                Argument("lun", "true if hosts can use the clones", arguments.flag, False),
                Argument("read_only", "true if hosts cannot write to the clones", arguments.flag, False),
            ),
            is_recorded=True,
        ),
        Operation("snapshots", snapshots.snapshots, (Argument("volume", "the name of a volume", arguments.text, None),)),
        Operation(
            "snapshot-create",
            snapshots.create,
            (
                Argument("snapshots", "a list of VOLUME@NAME", _snapshot_names),
                Argument("attributes", "names and values", _attributes, {}),
                Argument("before", "a command to run before the snapshots", parse_command, ""),
                Argument("after", "a command to run after the snapshots", parse_command, ""),
                Argument("timeout_s", "the longest time for each command", parse_timeout, DEFAULT_TIMEOUT_S),
                Argument("on_failure", "crash-consistent or skip", parse_on_failure, OnFailure.SKIP),
            ),
            is_recorded=True,
        ),
        Operation("snapshot-show", snapshots.show, (_SNAPSHOT,)),
        Operation("snapshot-rename", snapshots.rename, (_SNAPSHOT, _NEW_NAME), is_recorded=True),
        Operation("snapshot-delete", snapshots.delete, (_SNAPSHOT,), is_recorded=True),
        Operation("snapshot-hold", snapshots.hold, (_SNAPSHOT, _OWNER), is_recorded=True),
        Operation("snapshot-unhold", snapshots.unhold, (_SNAPSHOT, _OWNER), is_recorded=True),
        Operation(
            "snapshot-restore",
            snapshots.restore,
            (_SNAPSHOT, Argument("to", "another volume than that of the snapshot", arguments.text, None)),
            is_recorded=True,
        ),
        Operation(
            "snapshot-diff",
            differences.differences,
            (
                Argument("older", "VOLUME@NAME, or a guid", arguments.text),
                Argument("newer", "VOLUME, VOLUME@NAME or a guid", arguments.text, None),
                _BLOCK,
            ),
        ),
        Operation(
            "allocated", differences.allocated, (Argument("source", "VOLUME, VOLUME@NAME or a guid", arguments.text), _BLOCK)
        ),
        *SCHEDULE_OPERATIONS,
    )
}


async def perform_on_storage(storage: Storage, name: str, given: Mapping[str, object]) -> Data:
    """Perform an operation of the table. Raises ManagementError."""
    return await performed(STORAGE_OPERATIONS[name], storage, given)
