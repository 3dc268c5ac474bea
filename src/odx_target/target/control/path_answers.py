"""The answers to operations on paths to other arrays, as types. The types are also the JSON schemas of these answers."""

from typing import Annotated, TypedDict


class PathValues(TypedDict):
    """The settings of a path that an operator has chosen."""

    name: str
    address: Annotated[str | None, "HOST:PORT of the peer; null if only the peer dials"]
    rights: Annotated[
        list[str], "what the peer may do: `serve-tokens`, `redeem-tokens`, `serve-luns`, `write-luns`, `replicate`"
    ]
    throttle_bytes_per_s: Annotated[int | None, "limit of the sent bytes; null if there is no limit"]
    peak_bytes_per_s: Annotated[int | None, "limit in the peak hours; null if there is no limit"]
    peak_hours: Annotated[str | None, "HH:MM-HH:MM in UTC; null if there are no peak hours"]


class ListedPath(PathValues):
    """A path to another array."""

    compression: Annotated[str, "how data is compressed before it is sent: `auto`, `off`, `lan` (LZ4) or `wan` (zstandard)"]
    peer_pool: Annotated[str, "identity of the peer's pool in hexadecimal"]
    state: Annotated[str, "`connected` or `waiting`"]
    reason: Annotated[str, "why the path is not connected, or what is wrong although it is; empty otherwise"]
    since: Annotated[float, "time of the last change of the state, in seconds since 1970"]
    sent_bytes: Annotated[int, "since the start of the array"]
    received_bytes: Annotated[int, "since the start of the array"]
    redeemed_bytes: Annotated[int, "bytes that hosts of this array have copied with tokens of the peer, since its start"]
    redeemed_link_bytes: Annotated[int, "bytes of the link for the data of these copies, in both directions"]


class WaitingPath(PathValues):
    """A path that waits for its pairing."""

    remaining_s: Annotated[int, "time that the array still waits"]
    attempts: Annotated[int, "number of attempts with a wrong key"]
    reason: Annotated[str, "reason of the last failure, or an empty text"]


class UnpairedPath(TypedDict):
    """A path that was added, and waits no longer, because the pairing has failed. Use `path add` again."""

    name: str
    reason: str


class Paths(TypedDict):
    """The paths of an array."""

    link_port: Annotated[str, "HOST:PORT at which other arrays can connect"]
    pool: Annotated[str, "identity of the pool in hexadecimal"]
    paths: list[ListedPath]
    waiting: list[WaitingPath]
    unpaired: list[UnpairedPath]
    pairing: Annotated[list[str], "pools of `serve --pair` whose arrays are not connected yet"]


class RemovedPath(TypedDict):
    """The path that was removed."""

    name: str
