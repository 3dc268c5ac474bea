"""The answers to operations on the replication of snapshots, as types. The types are also the JSON schemas of these answers."""

from typing import Annotated, TypedDict

from odx_target.target.control.storage.answers import Snapshot


class ReplicaProgress(TypedDict):
    """The progress of a protection or of a copy. Most names are those of rbd-mirror, and `step` is that of zrepl."""

    replay_state: Annotated[str, "`idle`, `syncing`, `waiting` if the path is not connected, or `error`"]
    problem: Annotated[str, "why snapshots are not transferred, or an empty text"]
    snapshot: Annotated[str | None, "the snapshot that is transferred now: its name at the sender, its guid at the receiver"]
    step: Annotated[str | None, "number of the snapshot in its group, such as `1/3`; null if none is transferred"]
    local_snapshot_timestamp: Annotated[float | None, "time of the newest snapshot of this array, in seconds since 1970"]
    remote_snapshot_timestamp: Annotated[
        float | None, "time of the newest snapshot that both arrays have; null if it is not known"
    ]
    bytes_per_second: Annotated[float, "logical rate of the present transfer"]
    bytes_per_snapshot: Annotated[float, "mean of the transferred bytes of a snapshot since the start of the array"]
    last_snapshot_bytes: int
    last_snapshot_sync_seconds: float
    seconds_until_synced: Annotated[float | None, "estimate for the present transfer; null if there is no estimate yet"]
    logical_bytes: Annotated[int, "changed bytes of the present transfer so far"]
    network_bytes: Annotated[int, "bytes of blocks that crossed the link for them"]
    bytes_remaining: Annotated[int, "changed bytes that are still to be transferred"]
    snapshots: Annotated[int, "number of transfers since the start of the array"]


class Protection(TypedDict):
    """The volumes whose snapshots are sent to another array."""

    name: Annotated[str, "name of the volume or of the group"]
    path: str
    volumes: list[str]
    is_group: Annotated[bool, "true if the snapshots of the volumes are published together"]
    trigger: Annotated[str, "`each` or `latest`"]
    keep_there: Annotated[dict[str, int], "number of snapshots of each class that the other array keeps; 0 means all of them"]
    schedules: Annotated[dict[str, list[str]], "names of the schedules of each volume"]
    progress: ReplicaProgress


class ReplicaCopy(TypedDict):
    """A copy of a volume of another array."""

    name: Annotated[str, "name of the copy in this array"]
    path: str
    peer_volume: Annotated[str, "name of the volume in the other array"]
    role: Annotated[str, "`receiving` or `promoted`"]
    size_bytes: int
    snapshots: Annotated[int, "number of snapshots"]
    newest: Annotated[str | None, "name of the newest received snapshot"]
    keep: Annotated[dict[str, int], "number of snapshots of each class to keep; 0 means all of them"]
    progress: ReplicaProgress


class Replication(TypedDict):
    """The protections and the copies of an array."""

    protections: list[Protection]
    copies: list[ReplicaCopy]
    unreadable: Annotated[list[str], "records that this program cannot read"]


class Replicated(TypedDict):
    """Snapshots that were taken in order to be sent."""

    name: str
    snapshots: list[Snapshot]


class PathRates(TypedDict):
    """The time series of a path. Rows without transfers are 0."""

    path: str
    seconds: Annotated[int, "time of a row"]
    end_s: Annotated[float, "time of the answer in seconds since 1970; the last row has just ended then"]
    columns: Annotated[list[str], "names of the columns: logical bytes and bytes on the network"]
    bytes_per_second: Annotated[list[list[float]], "a list for each row, the oldest first"]
