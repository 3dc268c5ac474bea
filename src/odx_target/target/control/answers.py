"""The answers to operations on a running array, as types. The types are also the JSON schemas of these answers.

A field that needs an explanation has it as the second part of `Annotated`. A new field is added here first.
"""

from typing import Annotated, NotRequired, TypedDict

from odx_target.copymgr.initiator_totals import TotalsData
from odx_target.copymgr.refusal_log import RefusedCopy
from odx_target.target.control.storage.answers import Volume
from odx_target.target.control.storage.status_answers import Capacity, Cleaning
from odx_target.target.faults.rules import RuleData
from odx_target.target.schedules.runner import ScheduleProblem


class Luns(TypedDict):
    """The LUNs of an array, and how hosts reach them."""

    luns: list[Volume]
    portal: Annotated[str, "HOST:PORT of the first portal"]
    target: Annotated[str, "name of the first target"]


class Token(TypedDict):
    """A valid token, without its secret part. A host cannot use the identifier as a token."""

    identifier: Annotated[str, "64 bits in hexadecimal"]
    rod_type: Annotated[str, "ROD type of the standard, in lower case with underscores"]
    size_bytes: Annotated[int | None, "null if the token stands for any number of bytes"]
    age_s: float
    inactivity_timeout_s: float
    expires_in_s: Annotated[float, "time until the token expires unless it is used"]
    in_use: Annotated[int, "number of running copies that use the token"]
    lun: Annotated[str | None, "name of the LUN of which the token was made; null if there is no such LUN now"]
    block_bytes: Annotated[int, "size of the blocks of `ranges`; 1 if the LUN does not exist now"]
    ranges: Annotated[list[list[int]], "LBA and number of blocks of each range"]


class Tokens(TypedDict):
    """A page of tokens in the order of their identifiers."""

    tokens: list[Token]
    next: Annotated[str | None, "value of `after` for the next page; null on the last page"]


class ListedTokens(TypedDict):
    """The valid tokens in the order of their identifiers."""

    tokens: list[Token]


class Revoked(TypedDict):
    """The token that was revoked."""

    identifier: Annotated[str, "64 bits in hexadecimal"]


class Copy(TypedDict):
    """A running copy by token or EXTENDED COPY."""

    command: Annotated[str, "name of the command, in lower case with underscores"]
    initiator: str
    logical_unit: Annotated[int, "LUN number"]
    list_identifier: int
    status: Annotated[str, "COPY OPERATION STATUS, in lower case with underscores"]
    requested_blocks: int
    transfer_count_blocks: Annotated[int, "number of blocks that have been copied"]
    age_s: float
    lun: Annotated[str, "name of the LUN"]
    block_bytes: int


class CopyRate(TypedDict):
    """The limit of the total rate of all copies by token."""

    copy_rate_bytes_per_s: Annotated[int | None, "null if there is no limit"]


class Copies(CopyRate):
    """The running copies, and the limit of their total rate."""

    copies: list[Copy]


class Session(TypedDict):
    """A session of a host."""

    initiator: str
    isid: Annotated[str, "in hexadecimal"]
    tsih: int
    target: str | None
    peer: str
    is_discovery: bool
    waiting_tasks: Annotated[int, "number of tasks of this session that have not ended"]


class Sessions(TypedDict):
    """The sessions of hosts."""

    sessions: list[Session]


class DamagedBlock(TypedDict):
    """A damaged block of a pool."""

    volume: Annotated[str | None, "name of the volume, or null"]
    snapshot: Annotated[str | None, "VOLUME@NAME if a snapshot has the block"]
    frozen_map: Annotated[int | None, "number of the frozen map of a snapshot, token or copy, or null"]
    block: Annotated[int, "in blocks of 4 KiB"]
    offset_bytes: int
    lba: Annotated[int | None, "null if neither a volume nor a snapshot has the block"]
    count_blocks: Annotated[int | None, "number of logical blocks that the damaged block has"]


class DamagedPlace(TypedDict):
    """A damaged block that a read has met."""

    lun: Annotated[int | None, "LUN number; null if no LUN has the block"]
    name: Annotated[str | None, "name of the volume"]
    lba: int | None
    count_blocks: Annotated[int | None, "number of blocks of the LUN that the damaged block has"]
    snapshot: Annotated[int | None, "number of the frozen map if a snapshot, token or copy has the block"]
    snapshot_name: Annotated[str | None, "VOLUME@NAME if a snapshot has the block"]
    store_block: NotRequired[Annotated[int, "number of the block in the volume; only if no LUN has it"]]
    times: Annotated[int, "number of reads that have met the damage"]


class Met(TypedDict):
    """A kind of trouble that the array has met."""

    kind: str
    times: int
    reason: str
    age_s: Annotated[float, "time since the last time"]


class Health(TypedDict):
    """The problems of an array, and its free room."""

    is_well: Annotated[bool, "false if the array needs an operator"]
    failure: Annotated[str | None, "why the pool accepts no more writes until it is opened again"]
    full: Annotated[str | None, "why the pool refuses changes because it is full"]
    no_segment: Annotated[str | None, "why the pool refuses changes although it is not full"]
    no_room_for_s: Annotated[float | None, "time for which the pool has refused changes"]
    checkpoint_error: Annotated[str | None, "why the last checkpoint was not saved"]
    checkpoint_age_s: float
    trace_errors: Annotated[list[str], "files of --trace and --pcap that cannot be written"]
    damaged: Annotated[list[DamagedPlace], "at most 100"]
    damaged_not_shown: int
    met: list[Met]
    used_bytes: int
    available_bytes: Annotated[int | None, "null if the free room of the disk is unknown"]
    cleaning: Cleaning | None
    capacity_tier: Capacity | None
    schedules: list[ScheduleProblem]
    refused_sockets: int
    refused_logins: int


class Scrub(TypedDict):
    """The progress or the result of a scrub."""

    is_running: bool
    is_complete: bool
    checked_bytes: int
    total_bytes: int
    elapsed_s: float
    remaining_s: Annotated[float | None, "estimate; null if it is unknown"]
    damaged_blocks: int
    unused_damaged_blocks: Annotated[int, "damaged blocks that no volume, snapshot or token uses"]
    complaints: Annotated[list[str], "damage to headers and footers"]
    damaged: Annotated[list[DamagedBlock], "the damaged blocks of the pool that are known, at most 100"]
    damaged_not_shown: int


class Explained(RefusedCopy):
    """A copy that was refused or fell short, with its explanation."""

    explanation: Annotated[str, "one sentence: what happened, why, the clause, and a remedy"]


class Refusals(TypedDict):
    """The latest refusals, the oldest first."""

    refusals: list[Explained]
    last: Annotated[int, "number of the latest refusal"]


class InitiatorSums(TotalsData):
    """The copies of an initiator since the start of the array."""

    initiator: Annotated[str, "name of the initiator; `others` are the initiators that are no longer kept apart"]


class Initiators(TypedDict):
    """The copies of each initiator."""

    initiators: list[InitiatorSums]


class Clock(TypedDict):
    """The time of an array."""

    mode: Annotated[str, "`real`, `shifted` or `virtual`"]
    time_s: Annotated[float, "seconds since 1970"]
    advanced_s: Annotated[float, "sum of all advances"]


class Port(TypedDict):
    """A target port."""

    relative_target_port: int
    name: str


class LunState(TypedDict):
    """A LUN for which a target port group has another state than for other LUNs."""

    lun: int
    name: str
    state: str
    status: Annotated[str, "how the state came about: `none`, `explicit` or `implicit`"]


class PortGroup(TypedDict):
    """A target port group."""

    number: int
    state: Annotated[str, "such as `active-optimized`"]
    status: Annotated[str, "how the state came about: `none`, `explicit` or `implicit`"]
    preferred: bool
    ports: list[Port]
    luns: Annotated[list[LunState], "at most 100 LUNs with another state or status"]
    luns_not_listed: int


class PortGroups(TypedDict):
    """The target port groups of an array."""

    asymmetric_access: Annotated[str, "`none`, or the ways in which states change"]
    transition_time_s: float
    port_groups: list[PortGroup]


class Faults(TypedDict):
    """Rules by which the array injects faults."""

    faults: list[RuleData]
