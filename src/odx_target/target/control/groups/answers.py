"""The answers to operations on groups, as types. The types are also the JSON schemas of these answers."""

from typing import Annotated, TypedDict


class GroupVolume(TypedDict):
    """A volume of a group."""

    name: str
    lun: Annotated[int | None, "number of its LUN at this array; null if hosts cannot use it here"]


class Resync(TypedDict):
    """The content that the primary ships to a member that is out of sync."""

    kind: Annotated[str, "`everything`, or `since an anchor` if only what has changed since then is shipped"]
    shipped_bytes: Annotated[int, "data that was read and shipped so far"]
    total_bytes: Annotated[int | None, "estimate of all data to ship; null if it is not known"]
    bytes_per_second: float
    remaining_s: Annotated[float | None, "estimated time to the end; null if it is unknown"]


class WriteLatency(TypedDict):
    """The mean latency of the writes of hosts to a group since the start of the array, and its parts."""

    writes: Annotated[int, "number of writes"]
    mean_s: Annotated[float | None, "from the arrival of the command to the response; null before the first write"]
    store_s: Annotated[float | None, "the rest of the mean: this array itself"]
    link_s: Annotated[float | None, "the way of a change to the other member and of its answer back; null without answers"]
    peer_s: Annotated[float | None, "the time that the other member needs for a change; null without answers"]


class ReadingFinding(TypedDict):
    """A part of a volume that a reading has found different or damaged."""

    kind: Annotated[str, "`different`, `damaged here` or `damaged there`"]
    volume: Annotated[int, "place of the volume in the list of the group"]
    offset: Annotated[int, "first byte"]
    bytes: int


class Reading(TypedDict):
    """The last reading of all data of both members, which `group verify --read` begins."""

    is_over: bool
    failure: Annotated[str, "why the reading has ended early, or an empty text"]
    read_bytes: int
    different: Annotated[int, "number of parts that differ"]
    damaged: Annotated[int, "number of parts that a member cannot read"]
    findings: Annotated[list[ReadingFinding], "the first of these parts"]


class Group(TypedDict):
    """A group of which the array is a member."""

    name: str
    role: Annotated[str, "`primary` or `secondary`"]
    state: Annotated[str, "`serving`, `standby`, `waiting`, `out of sync`, `taking over`, `handing over` or `settling`"]
    condition: Annotated[str, "what an operator must know now, in a word; see docs/synchronous-replication.md"]
    advice: Annotated[str, "what it means and what to do, or an empty text"]
    volumes: list[GroupVolume]
    path: Annotated[str | None, "path to the other member; null if it was removed"]
    witness: Annotated[str | None, "path to the witness; null if it was removed"]
    is_peer_connected: bool
    is_witness_connected: bool
    is_in_sync: Annotated[bool, "true if both members are in sync, as far as this array knows"]
    epoch: Annotated[int, "number of the present state of the group; each change raises it"]
    out_of_sync_after_s: Annotated[float, "time without an answer after which the primary goes on alone"]
    unacknowledged: Annotated[
        int | None,
        "number of records of the log that the other member may not have yet; null if no stream is open",
    ]
    latency: WriteLatency
    resync: Annotated[Resync | None, "null if none runs"]
    reading: Annotated[Reading | None, "null if there was none since the start of the array"]
    resyncs: Annotated[int, "number of resyncs since the start of the array"]
    local_snapshots: Annotated[
        list[str] | None,
        "the newest snapshots that the other member does not have, as VOLUME@NAME; null if no stream is open",
    ]
    verified: Annotated[int, "number of comparisons of both members, at their anchors, that found them equal"]
    mismatches: Annotated[int, "number of those that found a difference"]


class ChangedGroup(Group):
    """A group that got a volume."""

    problem: Annotated[str, "why the other member does not present the volume to hosts yet, or an empty text"]


class WitnessedGroup(TypedDict):
    """A group of two other arrays, for which this array is the witness."""

    name: str
    members: Annotated[list[str], "paths to the members, or the identities of their pools in hexadecimal"]
    primary: Annotated[str | None, "path to the primary; null if the witness has lost its record"]
    is_in_sync: Annotated[bool, "true if both members are in sync"]
    epoch: Annotated[int | None, "null if the witness has lost its record"]


class Groups(TypedDict):
    """The groups of an array."""

    groups: list[Group]
    witnessed: Annotated[list[WitnessedGroup], "groups for which the array is the witness"]
    unreadable: Annotated[list[str], "groups whose records this program cannot read"]


class VerifiedGroup(TypedDict):
    """The result of a comparison of both members."""

    name: str
    is_equal: Annotated[bool, "true if the digests of all data are equal"]
    reads: Annotated[bool, "true if both members now read and compare all data in the background"]


class PromotedGroup(TypedDict):
    """The promotion of a secondary by force, and the writes that hosts may lose by it."""

    name: str
    is_promoted: Annotated[bool, "false if the command has only told what may be lost"]
    is_anchor_restored: Annotated[bool, "true if the volumes get the content of the last anchor"]
    anchor_age_s: Annotated[float | None, "age of the last anchor, at which both members were equal; null if there is none"]
    loss: Annotated[str, "what may be lost"]


class DeletedGroup(TypedDict):
    """A group that was deleted."""

    name: str
    left: Annotated[list[str], "what was left at other arrays, because they could not be reached"]
