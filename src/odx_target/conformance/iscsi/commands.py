"""Checks of commands in full feature phase: CmdSN, R2T, Data-In, residual counts and logout (RFC 7143 4.2, 11)."""

from odx_target.conformance.bench import Bench
from odx_target.conformance.check import Check, Need
from odx_target.conformance.faults import CheckFailed, NotSupported, require, require_equal
from odx_target.conformance.iscsi.raw_connection import RawConnection, StreamEnded
from odx_target.initiator import cdb
from odx_target.iscsi.pdu.headers import (
    LogoutRequest,
    LogoutResponse,
    NopIn,
    NopOut,
    ReadyToTransfer,
    ScsiCommand,
    ScsiDataIn,
    ScsiDataOut,
    ScsiResponse,
)

TAG = 0x100
LBA, COUNT = 256, 40
SEGMENT_BYTES = 4096
BURST_BYTES = 8192


async def command(
    connection: RawConnection, content: bytes, *, expected_bytes: int = 0, write: bool = False, tag: int = TAG, **fields: int
) -> None:
    """Send a SCSI command without immediate data."""
    pdu = ScsiCommand(
        read=bool(expected_bytes) and not write,
        write=write,
        attribute=1,
        lun=connection.lun_field,
        initiator_task_tag=tag,
        expected_data_transfer_length=expected_bytes,
        cdb=content.ljust(16, b"\0"),
    )
    connection.numbered(pdu, advance=True)
    for name, value in fields.items():
        setattr(pdu, name, value)
    await connection.send(pdu)


async def ready(connection: RawConnection) -> None:
    """Send TEST UNIT READY until it reports no unit attention."""
    for _ in range(8):
        await command(connection, cdb.test_unit_ready())
        response, _ = await connection.expect(ScsiResponse)
        if response.status == 0:
            return
    raise CheckFailed("TEST UNIT READY does not end with GOOD")


async def read(connection: RawConnection, count_blocks: int, expected_bytes: int) -> tuple[list[ScsiDataIn], bytes, int, int]:
    """Read blocks, and return the Data-In headers, the data, the status and the residual count. The count is negative for an
    overflow.
    """
    await command(connection, cdb.read_16(LBA, count_blocks), expected_bytes=expected_bytes)
    headers, data = [], b""
    while True:
        received = await connection.receive()
        pdu = received.pdu
        if isinstance(pdu, ScsiDataIn):
            require(received.digest_is_right, "the data digest of a Data-In PDU is wrong")
            require_equal("Buffer Offset", pdu.buffer_offset, len(data))
            headers.append(pdu)
            data += received.data
            if not pdu.has_status:
                continue
        elif not isinstance(pdu, ScsiResponse):
            raise CheckFailed(f"the target answers READ with {type(pdu).__name__}")
        residual = pdu.residual_count if pdu.underflow else -pdu.residual_count if pdu.overflow else 0
        return headers, data, pdu.status, residual


async def data_in_sequence(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in(MaxRecvDataSegmentLength=str(SEGMENT_BYTES), MaxBurstLength=str(BURST_BYTES))
        await ready(connection)
        size = COUNT * bench.first.block_bytes
        headers, data, status, residual = await read(connection, COUNT, size)
        require_equal("status, residual count and number of bytes", (status, residual, len(data)), (0, 0, size))
        require_equal("DataSN of the PDUs", [header.data_sn for header in headers], list(range(len(headers))))
        longest = max(header.data_segment_length for header in headers)
        require(longest <= SEGMENT_BYTES, f"a Data-In PDU has {longest} bytes, over MaxRecvDataSegmentLength {SEGMENT_BYTES}")


async def data_in_bursts(bench: Bench) -> None:
    """The F bit is 1 at the end of each sequence, and no sequence is longer than MaxBurstLength."""
    async with bench.connection() as connection:
        await connection.log_in(MaxRecvDataSegmentLength=str(SEGMENT_BYTES), MaxBurstLength=str(BURST_BYTES))
        await ready(connection)
        headers, _, _, _ = await read(connection, COUNT, COUNT * bench.first.block_bytes)
        burst = 0
        for header in headers:
            burst += header.data_segment_length
            require(burst <= BURST_BYTES, f"a sequence of Data-In PDUs has {burst} bytes, over MaxBurstLength {BURST_BYTES}")
            burst = 0 if header.final else burst
        require(headers[-1].final, "the F bit of the last Data-In PDU is 0")


async def underflow(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in()
        await ready(connection)
        size = bench.first.block_bytes
        _, data, status, residual = await read(connection, 1, 3 * size)
        require_equal("status, bytes and residual count", (status, len(data), residual), (0, size, 2 * size))


async def overflow(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in()
        await ready(connection)
        size = bench.first.block_bytes
        _, data, _, residual = await read(connection, 3, size)
        require(len(data) <= size, f"the target sent {len(data)} bytes, but the initiator expected {size}")
        require_equal("residual count", residual, -2 * size)


async def asks_for_data(bench: Bench) -> None:
    unit = bench.first
    data = bytes(at * 7 & 0xFF for at in range(COUNT * unit.block_bytes))
    async with bench.connection() as connection:
        await connection.log_in(MaxBurstLength=str(BURST_BYTES))
        await ready(connection)
        await command(connection, cdb.write_16(LBA, COUNT), expected_bytes=len(data), write=True)
        position = number = 0
        while position < len(data):
            request, _ = await connection.expect(ReadyToTransfer)
            require_equal("R2TSN", request.r2t_sn, number)
            require_equal("Buffer Offset", request.buffer_offset, position)
            length = request.desired_data_transfer_length
            require(0 < length <= BURST_BYTES, f"Desired Data Transfer Length is {length}, expected 1 to {BURST_BYTES}")
            await _send_data(connection, request, data[position : position + length])
            position, number = position + length, number + 1
        response, _ = await connection.expect(ScsiResponse)
        require_equal("status", response.status, 0)
    await unit.holds(LBA, data, "the data of the Data-Out PDUs")


async def _send_data(connection: RawConnection, request: ReadyToTransfer, data: bytes) -> None:
    longest = int(connection.login_keys.get("MaxRecvDataSegmentLength", "8192"), 0)
    for data_sn, start in enumerate(range(0, len(data), longest)):
        part = data[start : start + longest]
        pdu = ScsiDataOut(
            final=start + longest >= len(data),
            lun=connection.lun_field,
            initiator_task_tag=TAG,
            target_transfer_tag=request.target_transfer_tag,
            data_sn=data_sn,
            buffer_offset=request.buffer_offset + start,
        )
        await connection.send(connection.numbered(pdu), part)


async def immediate_data(bench: Bench) -> None:
    unit = bench.first
    data = bytes(at * 11 & 0xFF for at in range(unit.block_bytes))
    async with bench.connection() as connection:
        await connection.log_in(ImmediateData="Yes")
        if connection.login_keys.get("ImmediateData") != "Yes":
            raise NotSupported("the target does not accept immediate data")
        await ready(connection)
        pdu = ScsiCommand(
            write=True,
            attribute=1,
            lun=connection.lun_field,
            initiator_task_tag=TAG,
            expected_data_transfer_length=len(data),
            cdb=cdb.write_16(LBA, 1),
        )
        await connection.send(connection.numbered(pdu, advance=True), data)
        response, _ = await connection.expect(ScsiResponse)
        require_equal("status", response.status, 0)
    await unit.holds(LBA, data, "the immediate data")


async def pings(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in()
        await connection.send(connection.numbered(NopOut(immediate=True, initiator_task_tag=TAG)), b"conformance")
        answer, data = await connection.expect(NopIn)
        require_equal("initiator task tag of the NOP-In", answer.initiator_task_tag, TAG)
        require_equal("ping data", data, b"conformance")


async def command_window(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in()
        await ready(connection)
        before = connection.cmd_sn
        await command(connection, cdb.test_unit_ready())
        response, _ = await connection.expect(ScsiResponse)
        require_equal("ExpCmdSN", response.exp_cmd_sn, (before + 1) & 0xFFFFFFFF)
        ahead = (response.max_cmd_sn - response.exp_cmd_sn) & 0xFFFFFFFF
        require(ahead < 0x80000000, f"MaxCmdSN {response.max_cmd_sn} is before ExpCmdSN {response.exp_cmd_sn}")


async def old_command(bench: Bench) -> None:
    """A command with a CmdSN that was already used is ignored without an answer."""
    async with bench.connection() as connection:
        await connection.log_in()
        await ready(connection)
        await command(connection, cdb.test_unit_ready(), tag=TAG + 1, cmd_sn=(connection.cmd_sn - 1) & 0xFFFFFFFF)
        connection.cmd_sn = (connection.cmd_sn - 1) & 0xFFFFFFFF
        await _only_the_ping_is_answered(connection)


async def command_beyond_the_window(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in()
        await ready(connection)
        beyond = (connection.max_cmd_sn + 8) & 0xFFFFFFFF
        before = connection.cmd_sn
        await command(connection, cdb.test_unit_ready(), tag=TAG + 1, cmd_sn=beyond)
        connection.cmd_sn = before
        await _only_the_ping_is_answered(connection)


async def commands_in_order(bench: Bench) -> None:
    """A command waits for the command with the CmdSN before it."""
    async with bench.connection() as connection:
        await connection.log_in()
        await ready(connection)
        first = connection.cmd_sn
        if (connection.max_cmd_sn - first) & 0xFFFFFFFF in {0, 0xFFFFFFFF}:
            raise NotSupported("the window has no room for two commands")
        await command(connection, cdb.test_unit_ready(), tag=TAG + 1, cmd_sn=first + 1)
        await command(connection, cdb.test_unit_ready(), tag=TAG, cmd_sn=first)
        tags = [(await connection.expect(ScsiResponse))[0].initiator_task_tag for _ in range(2)]
        require_equal("order of the responses", tags, [TAG, TAG + 1])


async def _only_the_ping_is_answered(connection: RawConnection) -> None:
    """Send a ping, and fail unless the next PDU of the target is its answer."""
    await connection.send(connection.numbered(NopOut(immediate=True, initiator_task_tag=TAG + 2)))
    try:
        pdu = (await connection.receive()).pdu
    except StreamEnded as ended:
        raise CheckFailed(f"{ended}, expected NopIn") from ended
    tag = getattr(pdu, "initiator_task_tag", None)
    require(
        isinstance(pdu, NopIn) and tag == TAG + 2, f"the target sent {type(pdu).__name__} for a command that it must ignore"
    )


async def logs_out(bench: Bench) -> None:
    async with bench.connection() as connection:
        await connection.log_in()
        await connection.send(connection.numbered(LogoutRequest(immediate=True, reason=0, initiator_task_tag=TAG)))
        response, _ = await connection.expect(LogoutResponse)
        require_equal("response", response.response, 0)
        require_equal("initiator task tag", response.initiator_task_tag, TAG)
        require(await connection.is_closed(), "the target does not close the connection after a logout")


_DATA, _WINDOW = "RFC 7143 11.7", "RFC 7143 4.2.2.1"
PORTAL = Need.PORTAL
WRITES = PORTAL | Need.DESTRUCTIVE

CHECKS = (
    Check("iscsi.data.in", _DATA, "Data-In PDUs are numbered and no longer than declared", data_in_sequence, PORTAL),
    Check("iscsi.data.bursts", _DATA, "Sequences of Data-In PDUs end at MaxBurstLength", data_in_bursts, PORTAL),
    Check("iscsi.data.underflow", "RFC 7143 11.4.5", "An underflow has its residual count", underflow, PORTAL),
    Check("iscsi.data.overflow", "RFC 7143 11.4.5", "An overflow has its residual count", overflow, PORTAL),
    Check("iscsi.data.r2t", "RFC 7143 11.8", "R2Ts ask for all data in order and in bursts", asks_for_data, WRITES),
    Check("iscsi.data.immediate", "RFC 7143 11.3", "A command may carry immediate data", immediate_data, WRITES),
    Check("iscsi.ping.echo", "RFC 7143 11.19", "A NOP-In returns the ping data", pings, PORTAL),
    Check("iscsi.window.expected", _WINDOW, "ExpCmdSN follows the commands", command_window, PORTAL),
    Check("iscsi.window.old", _WINDOW, "A command with an old CmdSN is ignored", old_command, PORTAL),
    Check("iscsi.window.beyond", _WINDOW, "A command beyond MaxCmdSN is ignored", command_beyond_the_window, PORTAL),
    Check("iscsi.window.order", _WINDOW, "Commands are executed in the order of CmdSN", commands_in_order, PORTAL),
    Check("iscsi.logout.close", "RFC 7143 11.15", "A logout closes the connection", logs_out, PORTAL),
)
