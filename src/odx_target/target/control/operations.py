"""The operations of `odx-target manage` on a running array: one function for each operation, and the table of all operations.

An operation takes named arguments, which come from JSON or a command line. An operation returns plain data that JSON can
represent. This module does no I/O: `server` receives requests and sends responses. Other interfaces for management can use the
same table.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from odx_target.target.clock.operations import CLOCK_OPERATIONS
from odx_target.target.config.parsing import LUN_FORM, parse_copy_rate
from odx_target.target.config.settings import LunConfig
from odx_target.target.control import answers, arguments
from odx_target.target.control.arguments import Argument
from odx_target.target.control.arguments import ManagementError as ManagementError
from odx_target.target.control.describe import Data, describe_copy, describe_stepping_aside, describe_token, rows_in_turns
from odx_target.target.control.faults import FAULT_OPERATIONS
from odx_target.target.control.groups.operations import GROUP_OPERATIONS
from odx_target.target.control.health import describe_health
from odx_target.target.control.imports import IMPORT_OPERATIONS
from odx_target.target.control.operation import Operation, performed
from odx_target.target.control.paths import PATH_OPERATIONS
from odx_target.target.control.port_groups import PORT_GROUP_OPERATIONS
from odx_target.target.control.refusals import REFUSAL_OPERATIONS
from odx_target.target.control.replication.copies import COPY_OPERATIONS
from odx_target.target.control.replication.protections import PROTECTION_OPERATIONS
from odx_target.target.control.scrubbing import START_ARGUMENTS, scrub_progress, start_scrub, stop_scrub
from odx_target.target.control.storage import volumes
from odx_target.target.control.storage.answers import Volume
from odx_target.target.control.storage.describe import describe_volume
from odx_target.target.control.storage.status_answers import SteppingAside
from odx_target.target.control.storage.storage import Storage
from odx_target.target.control.storage.table import STORAGE_OPERATIONS
from odx_target.target.recording.operations import RECORDING_OPERATIONS

if TYPE_CHECKING:
    from odx_target.target.array import Array
    from odx_target.target.server.listener import ConnectedSession

TOKENS_OF_A_PAGE = 100
"""Number of tokens in one response.

If each token has 64 ranges, the response is a few hundred KiB of JSON. The array needs some milliseconds to make such a
response.
"""


async def perform(array: "Array", name: str, given: Mapping[str, object]) -> Data:
    """Perform the operation `name` with the arguments `given`. Raises ManagementError."""
    operation = OPERATIONS.get(name) or STORAGE_OPERATIONS.get(name)
    if operation is None:
        known = ", ".join([*OPERATIONS, *STORAGE_OPERATIONS])
        raise ManagementError(f"there is no operation {name!r}; there are {known}", is_usage=True)
    if array.edge is not None and operation.is_recorded:
        await array.edge.operation(name, given)
    return await performed(operation, array if name in OPERATIONS else _storage(array), given)


async def _health(array: "Array") -> answers.Health:
    """Describe the problems of the array and its free room."""
    return describe_health(array)


async def _luns(array: "Array") -> answers.Luns:
    """List the LUNs."""
    return {
        "portal": str(array.portals[0]),
        "target": array.targets[0].name,
        "luns": await rows_in_turns(
            array.environment.turns,
            sorted(array.logical_units.items()),
            lambda item: describe_volume(item[1].volume, array.pool),
        ),
    }


async def _add_lun(array: "Array", lun: LunConfig) -> Volume:
    """Create a volume with a LUN number."""
    return await volumes.create(_storage(array), lun, lun=True)


async def _resize(array: "Array", name: str, size: int, *, shrink: bool) -> Volume:
    """Change the size of a LUN."""
    array.logical_unit_named(name)
    return await volumes.resize(_storage(array), name, size, shrink=shrink)


def _storage(array: "Array") -> Storage:
    return Storage(array.pool, array.environment, array)


async def _tokens(array: "Array", after: int) -> answers.Tokens:
    """Return a page of tokens in the order of their identifiers.

    `next` in the result is the value of `after` for the next page. On the last page, `next` is None.
    """
    tokens = array.copy_manager.copies.tokens
    now_s = array.environment.monotonic()
    units = {unit.identity: unit for unit in array.logical_units.values()}

    def row(identifier: int) -> answers.Token | None:
        token = tokens.usable(identifier, now_s)
        return None if token is None else describe_token(token, units, now_s)

    page = await rows_in_turns(array.environment.turns, tokens.identifiers(after), row, TOKENS_OF_A_PAGE + 1)
    is_last = len(page) <= TOKENS_OF_A_PAGE
    page = page[:TOKENS_OF_A_PAGE]
    return {"tokens": page, "next": None if is_last else page[-1]["identifier"]}


async def _revoke(array: "Array", identifier: int) -> answers.Revoked:
    """Revoke a token."""
    if not array.copy_manager.revoke(identifier):
        raise ManagementError(f"there is no token {identifier:016x}")
    await array.make_durable()  # otherwise a persistent token could exist again after a loss of power
    return {"identifier": f"{identifier:016x}"}


async def _copies(array: "Array") -> answers.Copies:
    """List the running copies, and their rate."""
    manager = array.copy_manager
    operations, now_s = list(manager.copies.operations), array.environment.monotonic()
    return {
        "copies": await rows_in_turns(array.environment.turns, operations, lambda each: describe_copy(each, now_s)),
        "copy_rate_bytes_per_s": manager.copies.copy_rate.bytes_per_s,
    }


async def _cancel(array: "Array", list_identifier: int, initiator: str | None, lun: str | None) -> answers.Copy:
    """End a copy as COPY OPERATION ABORT does. Blocks that have already been copied keep the new data."""
    found = [
        operation
        for operation in array.copy_manager.copies.operations
        if operation.is_in_progress
        and operation.list_identifier == list_identifier
        and initiator in (None, operation.nexus.initiator_name)
        and lun in (None, operation.logical_unit.volume.name)
    ]
    if not found:
        raise ManagementError(f"there is no copy under way with list identifier {list_identifier:#x}")
    if len(found) > 1:
        raise ManagementError(f"{len(found)} copies have list identifier {list_identifier:#x}: name one by initiator and LUN")
    (operation,) = found
    array.copy_manager.copies.terminate(operation)
    return describe_copy(operation, array.environment.monotonic())


async def _sessions(array: "Array") -> answers.Sessions:
    """List the sessions of hosts."""
    turns = array.environment.turns
    tasks: dict[tuple[str, str], int] = {}
    for logical_unit in list(array.logical_units.values()):
        await turns.next_if_spent()
        for task in logical_unit.tasks.tasks():
            turns.take()
            ports = task.nexus.initiator_port_name, task.nexus.target_name
            tasks[ports] = tasks.get(ports, 0) + 1

    def row(connected: "ConnectedSession") -> answers.Session:
        session = connected.session
        return {
            "initiator": session.initiator_name,
            "isid": session.isid.hex(),
            "tsih": session.tsih,
            "target": session.target_name,
            "peer": connected.peer,
            "is_discovery": session.is_discovery,
            "waiting_tasks": tasks.get((session.initiator_port_name, session.target_name), 0),
        }

    return {"sessions": await rows_in_turns(array.environment.turns, array.sessions(), row)}


async def _copy_rate(array: "Array", rate: int | None) -> answers.CopyRate:
    """Limit the total rate of all copies by token."""
    array.copy_manager.copies.copy_rate.set(rate)
    return {"copy_rate_bytes_per_s": rate}


async def _step_aside(array: "Array", duration: int | None) -> SteppingAside:
    """Refuse new copies for a while."""
    stepping_aside, now_s = array.copy_manager.copies.stepping_aside, array.environment.monotonic()
    if duration is None:
        stepping_aside.end()
    else:
        stepping_aside.begin(duration, now_s)
    return describe_stepping_aside(stepping_aside, now_s)


OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation("luns", _luns),
        Operation("add-lun", _add_lun, (Argument("lun", LUN_FORM, arguments.lun),), is_recorded=True),
        Operation(
            "resize",
            _resize,
            (
                Argument("name", "the name of the LUN", arguments.text),
                Argument("size", "bytes, or a text such as 10G", arguments.size),
                Argument("shrink", "true if the end of the LUN may be lost", arguments.flag, False),
            ),
            is_recorded=True,
        ),
        Operation(
            "tokens",
            _tokens,
            (Argument("after", "identifier of the last token of the previous page", arguments.token_identifier, 0),),
        ),
        Operation(
            "revoke",
            _revoke,
            (Argument("identifier", "of the token, hexadecimal", arguments.token_identifier),),
            is_recorded=True,
        ),
        Operation("copies", _copies),
        Operation("sessions", _sessions),
        Operation(
            "copy-rate",
            _copy_rate,
            (Argument("rate", "bytes per second, a text such as 64M, or none", parse_copy_rate),),
            is_recorded=True,
        ),
        Operation(
            "step-aside",
            _step_aside,
            (Argument("duration", "seconds, a text such as 10m, or off", arguments.step_aside_s),),
            is_recorded=True,
        ),
        Operation(
            "cancel",
            _cancel,
            (
                Argument("list_identifier", "of the copy, as `copies` shows it", arguments.list_identifier),
                Argument("initiator", "the initiator that asked for it", arguments.text, None),
                Argument("lun", "the LUN that it was asked of", arguments.text, None),
            ),
            is_recorded=True,
        ),
        Operation("health", _health),
        Operation("scrub", start_scrub, START_ARGUMENTS, is_recorded=True),
        Operation("scrub-progress", scrub_progress),
        Operation("stop-scrub", stop_scrub, is_recorded=True),
        *REFUSAL_OPERATIONS,
        *CLOCK_OPERATIONS,
        *RECORDING_OPERATIONS,
        *FAULT_OPERATIONS,
        *PORT_GROUP_OPERATIONS,
        *PATH_OPERATIONS,
        *IMPORT_OPERATIONS,
        *PROTECTION_OPERATIONS,
        *COPY_OPERATIONS,
        *GROUP_OPERATIONS,
    )
}
