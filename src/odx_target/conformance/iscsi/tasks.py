"""Checks of task management functions and of PDUs that a target must reject (RFC 7143 11.5, 11.6, 11.17)."""

from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check, Need
from odx_target.conformance.faults import CheckFailed, NotSupported, require, require_equal
from odx_target.conformance.iscsi.commands import BURST_BYTES, LBA, TAG, command, ready
from odx_target.conformance.iscsi.raw_connection import RawConnection, StreamEnded
from odx_target.initiator import cdb
from odx_target.iscsi.pdu.headers import (
    NopIn,
    NopOut,
    ReadyToTransfer,
    Reject,
    ScsiResponse,
    SnackRequest,
    TaskManagementFunctionRequest,
    TaskManagementFunctionResponse,
    encode_lun,
)
from odx_target.iscsi.pdu.opcodes import NO_TAG, TaskManagementFunction, TaskManagementResponse

UNUSED_LUN = 16000
UNKNOWN_TAG = 0x7777


async def manage(
    connection: RawConnection, function: int, lun_field: int, referenced: int = NO_TAG, ref_cmd_sn: int = 0
) -> int:
    """Send a task management function, and return the response code."""
    request = TaskManagementFunctionRequest(
        immediate=True,
        function=function,
        lun=lun_field,
        initiator_task_tag=TAG + 9,
        referenced_task_tag=referenced,
        ref_cmd_sn=ref_cmd_sn,
    )
    await connection.send(connection.numbered(request))
    response, _ = await connection.expect(TaskManagementFunctionResponse)
    require_equal("initiator task tag", response.initiator_task_tag, TAG + 9)
    return response.response


async def abort_of_an_unknown_task(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in()
        await ready(connection)
        used = (connection.cmd_sn - 1) & 0xFFFFFFFF
        code = await manage(connection, TaskManagementFunction.ABORT_TASK, connection.lun_field, UNKNOWN_TAG, used)
        require_equal("response", code, int(TaskManagementResponse.TASK_DOES_NOT_EXIST))


async def abort_of_a_write(bench: Bench) -> None:
    """Abort a WRITE that waits for its data. The target must not answer the WRITE, and must go on with other commands."""
    unit = bench.first
    before = await unit.read(LBA, 8)
    async with bench.connection() as connection:
        await connection.log_in(MaxBurstLength=str(BURST_BYTES))
        await ready(connection)
        number = connection.cmd_sn
        await command(connection, cdb.write_16(LBA, 8), expected_bytes=8 * unit.block_bytes, write=True)
        await connection.expect(ReadyToTransfer)
        code = await manage(connection, TaskManagementFunction.ABORT_TASK, connection.lun_field, TAG, number)
        require_equal("response", code, int(TaskManagementResponse.FUNCTION_COMPLETE))
        await command(connection, cdb.test_unit_ready(), tag=TAG + 1)
        response, _ = await connection.expect(ScsiResponse)
        require_equal("initiator task tag of the next response", response.initiator_task_tag, TAG + 1)
    await unit.holds(LBA, before, "its old content after ABORT TASK")


async def abort_task_set(bench: Bench) -> None:
    await _completes(bench, TaskManagementFunction.ABORT_TASK_SET)


async def reset(bench: Bench) -> None:
    await _completes(bench, TaskManagementFunction.LOGICAL_UNIT_RESET)


async def _completes(bench: Bench, function: TaskManagementFunction) -> None:
    async with bench.connection() as connection:
        await connection.log_in()
        await ready(connection)
        code = await manage(connection, function, connection.lun_field)
        if code == TaskManagementResponse.FUNCTION_NOT_SUPPORTED and function == TaskManagementFunction.ABORT_TASK_SET:
            raise NotSupported("the target does not support ABORT TASK SET")
        require_equal("response", code, int(TaskManagementResponse.FUNCTION_COMPLETE))
        await ready(connection)


async def reset_of_an_unused_lun(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in()
        await ready(connection)
        code = await manage(connection, TaskManagementFunction.LOGICAL_UNIT_RESET, encode_lun(UNUSED_LUN))
        require_equal("response", code, int(TaskManagementResponse.LUN_DOES_NOT_EXIST))


async def unknown_function(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in()
        await ready(connection)
        request = TaskManagementFunctionRequest(immediate=True, function=0x55, lun=connection.lun_field, initiator_task_tag=TAG)
        await connection.send(connection.numbered(request))
        pdu = (await _next(connection)) or Reject()
        is_refused = isinstance(pdu, Reject) or (isinstance(pdu, TaskManagementFunctionResponse) and pdu.response in {5, 255})
        require(is_refused, f"the target answers an unknown function with {type(pdu).__name__} of success")


async def reassignment(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in()
        await ready(connection)
        code = await manage(connection, TaskManagementFunction.TASK_REASSIGN, connection.lun_field, UNKNOWN_TAG)
        accepted = {
            TaskManagementResponse.TASK_REASSIGNMENT_NOT_SUPPORTED,
            TaskManagementResponse.TASK_DOES_NOT_EXIST,
            TaskManagementResponse.FUNCTION_NOT_SUPPORTED,
            TaskManagementResponse.FUNCTION_REJECTED,
        }
        require(code in accepted, f"the response to TASK REASSIGN at ErrorRecoveryLevel 0 is {code}")


async def snack(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in()
        await connection.send(connection.numbered(SnackRequest(initiator_task_tag=TAG)))
        pdu = await _next(connection)
        require(pdu is None or isinstance(pdu, Reject), f"the target answers SNACK with {type(pdu).__name__}")


async def unknown_opcode(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in()
        await connection.send(_Strange(immediate=True, initiator_task_tag=TAG))
        pdu = await _next(connection)
        require(pdu is None or isinstance(pdu, Reject), f"the target answers an unknown opcode with {type(pdu).__name__}")


class _Strange(NopOut):
    """A PDU with an operation code that RFC 7143 does not define."""

    def encode_header(self) -> bytes:
        return bytes((0x5D,)) + super().encode_header()[1:]


async def stays_after_a_reject(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in()
        await connection.send(_Strange(immediate=True, initiator_task_tag=TAG))
        if await _next(connection) is None:
            return
        await connection.send(connection.numbered(NopOut(immediate=True, initiator_task_tag=TAG + 1)))
        try:
            await connection.expect(NopIn)
        except CheckFailed as failure:
            raise CheckFailed(f"after a Reject: {failure}") from failure


async def _next(connection: RawConnection) -> object:
    """Return the next PDU; None if the target closes the connection."""
    try:
        return (await connection.receive()).pdu
    except StreamEnded:
        return None


_TASKS, _REJECT = "RFC 7143 11.6", "RFC 7143 11.17"
PORTAL = Need.PORTAL
CHANGES = PORTAL | Need.DESTRUCTIVE

CHECKS = (
    Check(
        "iscsi.task.unknown",
        _TASKS,
        "ABORT TASK of an unknown task reports that it does not exist",
        abort_of_an_unknown_task,
        PORTAL,
    ),
    Check("iscsi.task.abort", _TASKS, "ABORT TASK ends a WRITE that waits for data", abort_of_a_write, CHANGES),
    Check("iscsi.task.abort-set", _TASKS, "ABORT TASK SET is complete", abort_task_set, CHANGES),
    Check("iscsi.task.reset", _TASKS, "LOGICAL UNIT RESET is complete", reset, CHANGES),
    Check("iscsi.task.unused-lun", _TASKS, "LOGICAL UNIT RESET of an unused LUN is refused", reset_of_an_unused_lun, PORTAL),
    Check("iscsi.task.function", _TASKS, "An unknown function is refused", unknown_function, PORTAL),
    Check("iscsi.task.reassign", _TASKS, "TASK REASSIGN is refused at ErrorRecoveryLevel 0", reassignment, PORTAL),
    Check("iscsi.reject.snack", _REJECT, "SNACK is rejected at ErrorRecoveryLevel 0", snack, PORTAL),
    Check("iscsi.reject.opcode", _REJECT, "An unknown operation code is rejected", unknown_opcode, PORTAL),
    Check("iscsi.reject.alive", _REJECT, "A connection goes on after a Reject", stays_after_a_reject, PORTAL),
)
