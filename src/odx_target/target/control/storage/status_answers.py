"""The answer to the operation `status`, as types. The types are also its JSON schema."""

from typing import Annotated, TypedDict

from odx_target.copymgr.counters import CounterData
from odx_target.target.control.groups.answers import Groups
from odx_target.target.control.replication.answers import Replication


class Space(TypedDict):
    """The result of the last count of the data. It is counted only on request, because a count reads all maps of the pool."""

    age_s: Annotated[float, "time since the count"]
    unique_bytes: Annotated[int, "data that belongs to exactly one volume"]
    shared_bytes: Annotated[int, "data that volumes share with each other, with snapshots or with tokens"]
    frozen_bytes: Annotated[int, "data that only snapshots and tokens have"]
    compressed_bytes: Annotated[int, "bytes that compression saves, as the sum of all volumes"]


class Cleaning(TypedDict):
    """The work of the cleaner since the pool was opened."""

    live_bytes: Annotated[int, "part of full segments to which a map referred when the cleaner last marked the blocks in use"]
    dead_bytes: Annotated[int, "the rest of full segments at that time, including headers and footers"]
    host_bytes: Annotated[int, "bytes written for hosts"]
    moved_bytes: Annotated[int, "bytes written again by the cleaner"]
    header_bytes: Annotated[int, "bytes of headers"]
    write_amplification: Annotated[float, "the sum of `host_bytes` and `moved_bytes`, divided by `host_bytes`"]
    freed_segments: Annotated[int, "number of segments that the cleaner has freed"]
    recycled_segments: Annotated[int, "number of files of freed segments that became new segments"]


class Log(TypedDict):
    """The state of the log."""

    segment: Annotated[int, "segment in which the next batch will be written"]
    block: Annotated[int, "block of this segment at which the next batch will be written"]
    next_sequence_number: Annotated[int, "sequence number of the next record"]
    durable_sequence_number: Annotated[int, "all records with a lower sequence number are durable"]
    segments: Annotated[int, "number of segments"]
    replay_bytes: Annotated[int, "bytes of the log that the next opening of the pool would have to replay"]
    cold_read_bytes: Annotated[int, "bytes that were read from the disk because they were not in the page cache"]


class Capacity(TypedDict):
    """The state of the capacity tier."""

    used_bytes: Annotated[int, "bytes that the data of the tier occupies on its disk"]
    available_bytes: Annotated[int | None, "bytes that are available for data; null if the free room of the disk is unknown"]
    limit_bytes: Annotated[int | None, "the configured limit of the tier"]
    to_capacity_bytes: Annotated[
        int,
        "bytes that waited for their move to the capacity tier when the cleaner last marked the blocks in use; the data that "
        "the log still fills its last segment with is not counted",
    ]
    to_fast_bytes: Annotated[int, "bytes that waited for their move back to the fast tier at that time"]
    moved_bytes: Annotated[int, "bytes that were written to the capacity tier since the pool was opened"]
    problem: Annotated[str | None, "why no data can be moved to the capacity tier at present"]


class PoolNumbers(TypedDict):
    """Sizes and counters of a pool. If it has a capacity tier, the numbers are those of the fast tier."""

    logical_bytes: Annotated[int, "sum of the sizes of all volumes"]
    used_bytes: Annotated[int, "bytes that the data of the pool occupies on the disk"]
    available_bytes: Annotated[int | None, "bytes that are available for data; null if the free room of the disk is unknown"]
    limit_bytes: Annotated[int | None, "the configured limit of the pool"]
    volumes: Annotated[int, "number of volumes"]
    snapshots: Annotated[int, "number of snapshots"]
    frozen_maps: Annotated[int, "number of frozen maps of tokens and running copies"]
    failure: Annotated[str | None, "why the pool accepts no more writes until it is opened again"]
    no_room: Annotated[str | None, "why the pool refuses changes at present"]
    damaged_blocks: Annotated[int, "number of damaged blocks of the log that are known"]
    checkpoint_age_s: Annotated[float, "time since the last checkpoint was saved, or since the pool was opened"]
    checkpoint_error: Annotated[str | None, "why the last checkpoint was not saved"]
    space: Space | None
    cleaning: Cleaning | None
    log: Log | None
    capacity_tier: Capacity | None


class SteppingAside(TypedDict):
    """The refusal of new copies for a while."""

    remaining_s: Annotated[float | None, "time for which new copies are still refused; null if they are not refused"]
    cause: Annotated[str | None, "`the operator`, or a threshold; null if new copies are not refused"]
    refused: Annotated[int, "number of copies refused so far"]


class KindOfCommands(TypedDict):
    """Commands of one kind since the start of the array. A latency is null if there was no command.

    A latency is the time from the wake-up that received the command and its data to the moment when its response was given to
    the socket. For latencies of up to a minute, a percentile is at most 19 % above the true value. All commands that end at the
    same wake-up have the same latency.
    """

    commands: Annotated[int, "number of commands"]
    bytes: Annotated[int, "bytes that these commands have transferred"]
    mean_s: float | None
    p50_s: float | None
    p99_s: float | None
    p999_s: float | None


class Commands(TypedDict):
    """The commands of hosts by their kind."""

    read: Annotated[KindOfCommands, "READ"]
    write: Annotated[KindOfCommands, "WRITE, WRITE AND VERIFY and WRITE ATOMIC"]
    other: Annotated[KindOfCommands, "all other commands"]


class BusySession(TypedDict):
    """A session, and its commands."""

    initiator: str
    peer: str
    tsih: int
    commands: Annotated[int, "number of commands"]
    bytes: int


class TargetNumbers(TypedDict):
    """A target, its sessions, and its own limits."""

    name: str
    sessions: Annotated[int, "number of sessions; discovery sessions do not count"]
    max_sessions: Annotated[int | None, "null if only the limit of the array applies"]
    max_commands: Annotated[int, "number of commands that each new session may have under way"]
    memory_share_percent: Annotated[int, "part of the common memory that the sessions of the target together may use"]


class ArrayNumbers(TypedDict):
    """Counters of an array since its start."""

    luns: Annotated[int, "number of LUNs"]
    tokens: Annotated[int, "number of valid tokens"]
    max_tokens: Annotated[int, "largest possible number of tokens"]
    copies: Annotated[int, "number of running copies by token"]
    copied: CounterData
    stepping_aside: SteppingAside
    commands: Annotated[Commands, "commands of all LUNs together"]
    sessions: Annotated[list[BusySession], "at most 100"]
    sessions_not_listed: int
    targets: list[TargetNumbers]


class Sanitize(TypedDict):
    """A sanitize operation."""

    state: Annotated[str, "`running`, `failed`, or `waiting` if the volume is no LUN now"]
    percent: int


class BusyVolume(TypedDict):
    """A volume, its data and its commands. The data is that of the last count; it is null if no count included the volume."""

    name: str
    lun: Annotated[int | None, "LUN number; null if hosts cannot use the volume"]
    size_bytes: int
    snapshots: Annotated[int, "number of snapshots"]
    tier: Annotated[str, "`fast` or `capacity`"]
    to_move_bytes: Annotated[
        int | None,
        "data, before compression, that was in the wrong tier when the cleaner last marked the blocks in use; data that "
        "volumes share may count for one or several of them; null if the pool has no capacity tier",
    ]
    mapped_bytes: Annotated[int | None, "before compression"]
    unique_bytes: int | None
    shared_bytes: int | None
    compressed_bytes: int | None
    commands: Annotated[Commands | None, "null if the volume is not a LUN of a running array"]
    sanitize: Sanitize | None


class Status(TypedDict):
    """The sizes and counters of a pool, and of the array that serves the pool."""

    time_s: Annotated[float, "seconds since 1970"]
    pool: PoolNumbers
    array: Annotated[ArrayNumbers | None, "null if no array serves the pool"]
    volumes: Annotated[list[BusyVolume], "in the order of their names"]
    volumes_not_listed: Annotated[int, "number of volumes that `--busiest` leaves out"]
    replication: Annotated[Replication | None, "null if the array has no link port, or sends and receives nothing"]
    groups: Annotated[Groups | None, "null if the array has no link port, or no groups"]
