"""The management operations that show the recorded commands, and what was offloaded."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from odx_target.target.config.error import ConfigError
from odx_target.target.control.arguments import Argument, ManagementError
from odx_target.target.control.describe import rows_in_turns
from odx_target.target.control.operation import Operation
from odx_target.target.recording import answers
from odx_target.target.recording.offload import Offload, summarize
from odx_target.target.recording.recorder import CommandRecorder
from odx_target.target.recording.seen_command import SeenCommand

if TYPE_CHECKING:
    from odx_target.target.array import Array

COMMANDS_OF_A_PAGE = 500
"""Number of commands in one response. It is then a few hundred KiB of JSON."""

MAX_PARAMETER_BYTES = 4096
"""Number of bytes of a parameter list and of parameter data in a response. Longer data is cut off."""


async def commands(array: "Array", after: int) -> answers.RecordedCommands:
    """Return a page of commands in the order of their arrival.

    `next` in the result is the value of `after` for the next page. On the last page, `next` is None.
    """
    seen = [command for command in _recorder(array).commands() if command.number > after]
    page = await rows_in_turns(array.environment.turns, seen, describe_command, COMMANDS_OF_A_PAGE)
    return {"commands": page, "next": page[-1]["number"] if len(page) < len(seen) else None}


async def clear_commands(array: "Array") -> answers.Cleared:
    """Forget the recorded commands."""
    recorder = _recorder(array)
    recorder.clear()
    return {"seen": recorder.count}


async def offload(array: "Array") -> answers.OffloadSums:
    """Return the sums of offloaded copies, and the refused commands with their reasons."""
    return describe_offload(offload_of(array))


def offload_of(array: "Array") -> Offload:
    """Summarize the offloaded copies of an array. Without a recorder, there are only the counters of the copy manager."""
    copies = array.copy_manager.copies
    seen: Sequence[SeenCommand] = () if array.recorder is None else array.recorder.commands()
    return summarize(seen, copies.counters.as_data(), copies.refusals.latest)


def describe_command(command: SeenCommand) -> answers.RecordedCommand:
    """Return a command as plain data. Bytes are in hexadecimal."""
    sense = command.sense
    return {
        "number": command.number,
        "operation": command.operation,
        "lun": command.lun,
        "initiator": command.initiator,
        "target": command.target,
        "peer": command.peer,
        "cdb": command.cdb.hex(),
        "fields": _plain(command.fields),
        "parameters": _plain(command.parameters),
        "parameter_list": command.parameter_list[:MAX_PARAMETER_BYTES].hex(),
        "parameter_data": command.parameter_data[:MAX_PARAMETER_BYTES].hex(),
        "expected_bytes": command.expected_bytes,
        "residual_bytes": command.residual_bytes,
        "status": command.status,
        "sense": None
        if sense is None
        else {"key": sense.key, "name": sense.name, "code": list(sense.code), "data": sense.data.hex()},
        "started_s": command.started_s,
        "ended_s": command.ended_s,
    }


def describe_offload(found: Offload) -> answers.OffloadSums:
    """Return a summary of offloaded copies as plain data."""
    return {
        "tokens": found.tokens,
        "writes": found.writes,
        "copies": found.copies,
        "copied_bytes": found.copied_bytes,
        "shared_bytes": found.shared_bytes,
        "zeroed_bytes": found.zeroed_bytes,
        "moved_bytes": found.moved_bytes,
        "fell_back": found.fell_back,
        "read_after_refusal_bytes": dict(found.read_after_refusal_bytes),
        "written_after_refusal_bytes": dict(found.written_after_refusal_bytes),
        "refused": [
            {
                "number": refused.command.number,
                "operation": refused.command.operation,
                "initiator": refused.command.initiator,
                "reason": refused.reason,
            }
            for refused in found.refused
        ],
    }


def _plain(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in fields.items()}


def _recorder(array: "Array") -> CommandRecorder:
    if array.recorder is None:
        raise ManagementError("this array does not record commands: start it with --record-commands")
    return array.recorder


def _number(value: object) -> int:
    if type(value) is not int or not -1 <= value < 1 << 60:
        raise ConfigError(f"after: want the number of a command, not {value!r}")
    return value


RECORDING_OPERATIONS = (
    Operation("commands", commands, (Argument("after", "number of the last command of the previous page", _number, -1),)),
    Operation("clear-commands", clear_commands),
    Operation("offload", offload),
)
