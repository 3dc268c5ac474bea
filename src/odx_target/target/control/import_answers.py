"""The answers to operations on imports, as types. The types are also the JSON schemas of these answers."""

from typing import Annotated, TypedDict


class BlockRanges(TypedDict):
    """Ranges of the old LUN."""

    bytes: Annotated[int, "total size of all ranges, also of those that are not listed"]
    ranges: Annotated[list[list[int]], "the first ranges: first byte and size in bytes"]


class Import(TypedDict):
    """An import of a LUN of another array."""

    volume: Annotated[str | None, "name of the volume; null if it was deleted"]
    lun: Annotated[int | None, "LUN number; null if hosts cannot use the volume"]
    source: Annotated[str, "URL of the old LUN, without secrets"]
    state: Annotated[
        str, "`copying`, `waiting`, `verifying`, `different`, `finishing`, `finished` or `failed`; see docs/import.md"
    ]
    is_source_needed: Annotated[bool, "true if the old array must still run"]
    reason: Annotated[str, "why the import does not go on, or an empty text"]
    size_bytes: int
    missing_bytes: Annotated[int | None, "bytes that are only at the old array; null until they are counted after a start"]
    verify: Annotated[bool, "true if all blocks are compared with the old LUN before the end"]
    verified_bytes: int
    rate_limit_bytes_per_s: Annotated[int, "limit of the background copy"]
    rate_bytes_per_s: Annotated[int, "present rate of the background copy or of the comparison"]
    remaining_s: Annotated[float | None, "estimated time to the end of the copy or comparison; null if it is unknown"]
    unreadable: Annotated[BlockRanges, "blocks that the old array cannot read"]
    different: Annotated[BlockRanges, "blocks that differed in the comparison"]
    started: Annotated[float, "time in seconds since 1970"]
    finished: Annotated[float | None, "time in seconds since 1970; null before the end"]


class Imports(TypedDict):
    """The imports of an array."""

    imports: list[Import]
