"""The answers about recorded commands and offloaded copies, as types. The types are also their JSON schemas."""

from typing import Annotated, TypedDict


class Sense(TypedDict):
    """Sense data of a command."""

    key: Annotated[str, "name of the sense key"]
    name: Annotated[str, "name of the additional sense code; empty if it has none"]
    code: Annotated[list[int], "additional sense code and qualifier"]
    data: Annotated[str, "all bytes, in hexadecimal"]


class RecordedCommand(TypedDict):
    """A command of a host. Bytes are in hexadecimal. The fields about the end are null until the command has ended."""

    number: Annotated[int, "commands are counted from 0"]
    operation: Annotated[str, "name in the standard"]
    lun: Annotated[int, "LUN number"]
    initiator: str
    target: str
    peer: str
    cdb: str
    fields: Annotated[dict[str, object], "fields of the CDB by their names in the standard, in lower case with underscores"]
    parameters: Annotated[dict[str, object], "fields of the parameter list of a token command or an UNMAP"]
    parameter_list: Annotated[str, "at most 4096 bytes, without the data of writes"]
    parameter_data: Annotated[str, "at most 4096 bytes, without the data of reads"]
    expected_bytes: Annotated[int, "EXPECTED DATA TRANSFER LENGTH"]
    residual_bytes: Annotated[int, "RESIDUAL COUNT; negative for an overflow"]
    status: Annotated[str | None, "name of the status"]
    sense: Sense | None
    started_s: Annotated[float, "seconds since 1970, in the time of the array"]
    ended_s: float | None


class RecordedCommands(TypedDict):
    """A page of recorded commands in the order of their arrival."""

    commands: list[RecordedCommand]
    next: Annotated[int | None, "value of `after` for the next page; null on the last page"]


class ListedCommands(TypedDict):
    """The recorded commands in the order of their arrival."""

    commands: list[RecordedCommand]


class Cleared(TypedDict):
    """The recorded commands were forgotten."""

    seen: Annotated[int, "number of commands since the start of the array"]


class RefusedCommand(TypedDict):
    """A copy command that did not end with GOOD."""

    number: Annotated[int, "number of the recorded command"]
    operation: Annotated[str, "name in the standard"]
    initiator: str
    reason: str


class OffloadSums(TypedDict):
    """The offloaded copies of an array since its start or its last reset."""

    tokens: Annotated[int, "number of tokens that were made"]
    writes: Annotated[int, "number of WRITE USING TOKEN commands that ended with GOOD"]
    copies: Annotated[int, "number of EXTENDED COPY commands that ended with GOOD"]
    copied_bytes: Annotated[int, "sum of the three following numbers"]
    shared_bytes: Annotated[int, "copied by references to the same blocks"]
    zeroed_bytes: Annotated[int, "written as zeros without data"]
    moved_bytes: Annotated[int, "copied inside the array"]
    fell_back: Annotated[bool, "true if an initiator has read and written data after one of its copy commands was refused"]
    read_after_refusal_bytes: Annotated[
        dict[str, int], "bytes that each initiator has read since its first refused copy command"
    ]
    written_after_refusal_bytes: Annotated[
        dict[str, int], "bytes that each initiator has written since its first refused copy command"
    ]
    refused: list[RefusedCommand]
