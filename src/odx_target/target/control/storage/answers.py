"""The answers to operations on volumes, snapshots and schedules, as types. The types are also their JSON schemas.

A field that needs an explanation has it as the second part of `Annotated`. A new field is added here first.
"""

from typing import Annotated, TypedDict

from odx_target.target.schedules.fields import ScheduleFields


class Volume(TypedDict):
    """A volume."""

    name: str
    size_bytes: int
    block_bytes: int
    lun: Annotated[int | None, "LUN number; null if hosts cannot use the volume"]
    read_only: bool
    compression: Annotated[str, "`off`, `lz4` or `zstd`"]
    tier: Annotated[str, "`fast` or `capacity`"]
    serial: Annotated[str, "serial number in hexadecimal, as in INQUIRY data"]
    naa: Annotated[str, "NAA identifier in hexadecimal, as in INQUIRY data"]
    snapshots: Annotated[int, "number of snapshots"]


class Volumes(TypedDict):
    """Volumes, in the order of their names or LUN numbers."""

    volumes: list[Volume]


class Snapshot(TypedDict):
    """A snapshot."""

    volume: Annotated[str, "present name of the volume, or its last name if it was deleted"]
    name: str
    guid: Annotated[str, "32 hexadecimal digits"]
    created_s: Annotated[float, "seconds since 1970"]
    size_bytes: int
    block_bytes: int
    volume_is_deleted: bool
    group: Annotated[str | None, "equal for snapshots that were taken together; null if the snapshot was taken alone"]
    holds: Annotated[list[str], "owners of holds"]
    attributes: Annotated[
        dict[str, str],
        "operators choose their names and values, except for the names that only the array sets: `size_bytes`, "
        "`block_bytes`, `compression`, `tier`, `lun`, `read_only`, `identifying_information`, `identifying_text`, `schedule`, "
        "`schedule_moment` and `consistency`",
    ]


class Snapshots(TypedDict):
    """Snapshots, the oldest first."""

    snapshots: list[Snapshot]


class TakenSnapshots(Snapshots):
    """New snapshots of one moment."""

    problem: Annotated[str, "why the snapshots are only crash-consistent: the failure of a command; or empty"]
    left_out: Annotated[list[str], "volumes without a snapshot, because they are being sanitized or have failed to be"]


class ShownSnapshot(Snapshot):
    """A snapshot, and the room that it needs."""

    unique_bytes: Annotated[int, "bytes that only this snapshot has"]
    shared_bytes: Annotated[int, "bytes that it shares with volumes and other snapshots"]


class Range(TypedDict):
    """A range of a volume or snapshot."""

    offset_bytes: int
    length_bytes: int
    kind: Annotated[str, "`hole` if the range had data and now reads as zeros, otherwise `data`"]


class Ranges(TypedDict):
    """A page of ranges."""

    ranges: list[Range]
    next: Annotated[int | None, "value of `block` for the next page; null on the last page"]


class LastRun(TypedDict):
    """The last run of a schedule."""

    moment: Annotated[str, "the time for which the run was due, or at which an operator started it"]
    ended_s: Annotated[float, "seconds since 1970"]
    snapshots: Annotated[int, "number of snapshots"]
    problem: Annotated[str, "empty if the run was complete"]


class Schedule(ScheduleFields):
    """A schedule of snapshots."""

    name: str
    volumes: Annotated[int, "number of volumes to which it applies"]
    next_s: Annotated[int | None, "time of the next run in seconds since 1970; null if the schedule is disabled"]
    last_run: LastRun | None
    missed: Annotated[int, "number of missed runs"]
    problem: Annotated[str, "problem of the last run or of the current attempts; empty if there is none"]


class Schedules(TypedDict):
    """The schedules of a pool."""

    schedules: list[Schedule]
    unreadable: Annotated[list[str], "names of schedules that this program cannot read"]


class KeptSnapshot(Snapshot):
    """A snapshot that is kept although the retention no longer covers it."""

    reason: str


class ShownSchedule(Schedule):
    """A schedule with its volumes, and the snapshots that it keeps although its retention no longer covers them."""

    volume_names: list[str]
    kept: Annotated[list[KeptSnapshot], "at most 100"]
    kept_not_shown: int


class Assignment(TypedDict):
    """The schedules of a volume."""

    volume: str
    schedules: Annotated[list[str], "names of the schedules that apply to the volume"]
    is_default: Annotated[bool, "true if they are the default schedules"]
